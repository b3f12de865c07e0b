/**
 * Gives the components below it their connection.
 *
 * @since 0.2.0
 */
import { createContext, createElement, type ReactElement, type ReactNode, useContext, useEffect, useMemo } from "react"
import type { Connection, ConnectOptions } from "../client/driver/ConnectOptions.ts"
import type { BuiltIn } from "../protocol/event/AgentEvents.ts"
import type * as Event from "../protocol/event/Event.ts"
import { type ConnectionSource, made, SharedConnection } from "./SharedConnection.ts"

/**
 * The options of `connect`, or a `connection` that was made elsewhere, which its maker
 * closes.
 *
 * `recentRuns` is 20 unless it is named: a page that is reloaded shows the runs that
 * it showed before.
 *
 * @category models
 * @since 0.2.0
 */
export type EmitterProviderProps<D extends Event.AnyDefinition = BuiltIn> =
  & { readonly children?: ReactNode }
  & (
    | ConnectOptions<D> & { readonly connection?: undefined }
    | { readonly connection: Connection<Event.AnyDefinition>; readonly url?: undefined }
  )

const Context = createContext<ConnectionSource | undefined>(undefined)

/**
 * Opens one connection when it is mounted, and lets it go a second after it was
 * unmounted. So it stays the same in StrictMode, while something suspends, and when a
 * component is reloaded. On a server it opens nothing, and all hooks give what they
 * give before anything has come.
 *
 * Callbacks and `token` may change with each render; a changed text as `token` is sent
 * at once. Another address, `shared` name, filter or limit makes another connection. `catalog`,
 * `storage`, `signal` and `platform` are those of the first render. **Another user needs
 * another `key`**: `<EmitterProvider key={user} …>`.
 *
 * ```tsx
 * import { EmitterProvider, useRuns } from "effect-emitter/react"
 *
 * const Chat = () => useRuns().map((run) => <p key={run.id}>{run.status}</p>)
 *
 * export const App = () => (
 *   <EmitterProvider url="/events" token={() => fetch("/token").then((response) => response.text())}>
 *     <Chat />
 *   </EmitterProvider>
 * )
 * ```
 *
 * @category components
 * @since 0.2.0
 */
export const EmitterProvider = <D extends Event.AnyDefinition = BuiltIn>(
  props: EmitterProviderProps<D>
): ReactElement => {
  const { connection, options } = split(props)
  const settings = options && settingsOf(options)
  const shared = useMemo(() => options && new SharedConnection(options), [settings])
  const source = useMemo(() => shared ?? (connection && made(connection)), [shared, connection])
  useEffect(() => options && shared?.update(options))
  useEffect(() => source?.retain().release, [source])
  return createElement(Context, { value: source }, props.children)
}

const recentRuns = 20

const split = <D extends Event.AnyDefinition>(props: EmitterProviderProps<D>) => {
  if (props.connection !== undefined) return { connection: props.connection }
  return { options: { ...props, recentRuns: props.recentRuns ?? recentRuns } }
}

/** What a connection cannot change while it lives, as text. */
const settingsOf = <D extends Event.AnyDefinition>(options: ConnectOptions<D>): string =>
  JSON.stringify([
    options.url,
    options.threads,
    options.transports,
    options.start,
    options.client,
    options.backoff,
    options.connectTimeoutMs,
    options.capacity,
    options.maxRuns,
    options.recentRuns,
    options.shared
  ])

/**
 * Where the hook gets its connection from. Throws where there is no `EmitterProvider`
 * above.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useSource = (): ConnectionSource => {
  const source = useContext(Context)
  if (source === undefined) throw new Error("no <EmitterProvider> is above this component")
  return source
}
