/**
 * The wire protocol as an AsyncAPI 3 document, generated from the schemas.
 *
 * Tools read it to show documentation, to generate types in other languages, or
 * to check messages. The protocol's rules (what follows what) are prose, and
 * stand in the `README.md` beside this file.
 *
 * ```ts
 * import { AsyncApi } from "effect-emitter/protocol"
 *
 * const document = AsyncApi.make({
 *   title: "Events of my app",
 *   version: "1.0.0",
 *   servers: { production: { host: "app.example.com", protocol: "wss" } }
 * })
 * ```
 *
 * @see https://www.asyncapi.com/docs/reference/specification/v3.0.0
 * @since 0.1.0
 */
import * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import * as AgentEvents from "../event/AgentEvents.ts"
import { closeCodes } from "./CloseCode.ts"
import type { AnyDefinition, Catalog } from "../event/Event.ts"
import * as Frame from "./Frame.ts"
import { RunSnapshot } from "../run/RunSnapshot.ts"

/**
 * A server that speaks the protocol. `host` may hold a port; `pathname` stands
 * before the channel's path.
 *
 * @category models
 * @since 0.1.0
 */
export interface Server {
  readonly host: string
  readonly protocol: "ws" | "wss"
  readonly pathname?: string | undefined
  readonly description?: string | undefined
}

/**
 * Options of the document.
 *
 * - `title`, `version` and `description` are those of the application.
 * - `servers` by name, none by default.
 * - `path` of the gateway's route, `/events` by default.
 * - `catalog`: the events that are described, the built-in ones by default.
 *   Events of other types stay valid.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly title: string
  readonly version: string
  readonly description?: string | undefined
  readonly servers?: Readonly<Record<string, Server>> | undefined
  readonly path?: string | undefined
  readonly catalog?: Catalog | undefined
}

interface Message {
  readonly from: "client" | "server"
  readonly schema: Schema.Top
  readonly summary: string
}

const EventInFrame = Frame.WireEvent.annotate({ identifier: "Event" })
const StateInFrame = RunSnapshot.annotate({ identifier: "RunSnapshot" })

type MessageName = Frame.ClientFrame["type"] | Frame.ServerFrame["type"] | "commandOutcome"

// By the types of the frames; of the two that share one, the server's has a name of its own.
const messages: Readonly<Record<MessageName, Message>> = {
  hello: {
    from: "client",
    schema: Frame.Hello,
    summary: "Who the device is, and where it left off. Comes first, once."
  },
  ack: { from: "client", schema: Frame.Ack, summary: "Everything up to this offset was handled." },
  pong: { from: "client", schema: Frame.Pong, summary: "Answers a ping." },
  token: { from: "client", schema: Frame.Token, summary: "A fresh token, on the same connection." },
  command: { from: "client", schema: Frame.Command, summary: "What the device asks of a run." },
  commandOutcome: { from: "server", schema: Frame.CommandOutcome, summary: "What became of a command." },
  welcome: { from: "server", schema: Frame.Welcome, summary: "Answers hello, with the head of the log." },
  events: {
    from: "server",
    schema: Schema.Struct({ ...Frame.Events.fields, events: Schema.Array(EventInFrame) }),
    summary: "Events in order, one or many."
  },
  gap: { from: "server", schema: Frame.Gap, summary: "Offsets that will not come, and why." },
  snapshot: {
    from: "server",
    schema: Schema.Struct({ ...Frame.Snapshot.fields, state: StateInFrame }),
    summary: "The state of a run after the event at an offset."
  },
  status: { from: "server", schema: Frame.Status, summary: "Whether events may be late for a while." },
  ping: { from: "server", schema: Frame.Ping, summary: "Asks for a pong." },
  goodbye: { from: "server", schema: Frame.Goodbye, summary: "A planned close follows." },
  error: { from: "server", schema: Frame.ErrorFrame, summary: "A close for cause follows." }
}

// The bodies of requests, by names of their own: their types are those of frames.
const posted: Readonly<Record<string, Pick<Message, "schema" | "summary">>> = {
  acknowledgement: { schema: Frame.Acknowledgement, summary: "An ack that names its epoch, since it stands alone." },
  signOfLife: { schema: Frame.SignOfLife, summary: "A pong that names its connection, since it stands alone." }
}

/**
 * Makes the document: a JSON object, ready to be served. It is made anew at
 * each call, so make it once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Schema.JsonObject => {
  const definitions = [...(options.catalog ?? AgentEvents.catalog).definitions.values()]
  const schemas: Record<string, unknown> = {}
  for (const [type, { schema }] of Object.entries(messages)) add(schemas, type, schema)
  for (const [name, { schema }] of Object.entries(posted)) add(schemas, name, schema)
  for (const definition of definitions) add(schemas, eventSchema(definition), definition.payload)
  schemas["Event"] = byType(schemas["Event"], definitions)

  return Schema.decodeUnknownSync(Schema.JsonObject)({
    asyncapi: "3.0.0",
    info: {
      title: options.title,
      version: options.version,
      ...(options.description === undefined ? {} : { description: options.description })
    },
    defaultContentType: "application/json",
    ...(options.servers === undefined ? {} : { servers: serversOf(options.servers) }),
    channels: {
      events: {
        address: options.path ?? "/events",
        title: "One user's events",
        description: channelDescription,
        messages: record(Object.keys(messages), (type) => ({ $ref: `#/components/messages/${type}` })),
        bindings: { ws: { method: "GET", bindingVersion: "0.1.0" } }
      },
      acknowledgements: {
        address: options.path ?? "/events",
        title: "Acknowledgements and signs of life of devices that receive server-sent events",
        description: "One HTTP request for each, answered with 204.",
        messages: record(Object.keys(posted), (name) => ({ $ref: `#/components/messages/${name}` }))
      },
      commands: {
        address: options.path ?? "/events",
        title: "Commands of devices and programs without a WebSocket",
        description: "One HTTP request for each, answered with what became of it.",
        messages: record(["command", "commandOutcome"], (name) => ({ $ref: `#/components/messages/${name}` }))
      }
    },
    operations: {
      fromDevice: operation("receive", "client", "What the server takes from a device."),
      toDevice: operation("send", "server", "What the server sends to a device."),
      acknowledge: {
        action: "receive",
        summary: "What a device that receives server-sent events has handled, and that it is there.",
        channel: { $ref: "#/channels/acknowledgements" },
        messages: Object.keys(posted).map((name) => ({ $ref: `#/channels/acknowledgements/messages/${name}` })),
        bindings: { http: { method: "POST", bindingVersion: "0.3.0" } }
      },
      command: {
        action: "receive",
        summary: "What a device asks of a run, without a WebSocket.",
        channel: { $ref: "#/channels/commands" },
        messages: [{ $ref: "#/channels/commands/messages/command" }],
        bindings: { http: { method: "POST", bindingVersion: "0.3.0" } },
        reply: {
          channel: { $ref: "#/channels/commands" },
          messages: [{ $ref: "#/channels/commands/messages/commandOutcome" }]
        }
      }
    },
    components: {
      messages: record(Object.entries({ ...messages, ...posted }), ([name, { summary }]) => ({
        name,
        title: name,
        summary,
        payload: { $ref: `#/components/schemas/${name}` }
      }), ([name]) => name),
      schemas,
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "May come in the hello frame instead." }
      }
    }
  })
}

const channelDescription = [
  `A WebSocket with the subprotocol ${Frame.subprotocol}; each message is one JSON text frame.`,
  "It is closed with one of these codes:",
  "",
  ...Object.values(closeCodes).map(({ code, meaning, name, reaction }) =>
    `- ${code} ${name}: ${meaning} (the client's reaction: ${reaction})`
  )
].join("\n")

const record = <A>(
  items: ReadonlyArray<A>,
  value: (item: A) => unknown,
  key: (item: A) => string = String
): Record<string, unknown> => Object.fromEntries(items.map((item) => [key(item), value(item)]))

const serversOf = (servers: Readonly<Record<string, Server>>) =>
  record(
    Object.entries(servers),
    ([, server]) => ({ ...server, security: [{ $ref: "#/components/securitySchemes/token" }] }),
    ([name]) => name
  )

const operation = (action: "send" | "receive", from: Message["from"], summary: string) => ({
  action,
  summary,
  channel: { $ref: "#/channels/events" },
  messages: Object.entries(messages)
    .filter(([, message]) => message.from === from)
    .map(([type]) => ({ $ref: `#/channels/events/messages/${type}` }))
})

const eventSchema = (definition: AnyDefinition): string => `event.${definition.name}`

// The payload of an event follows from its type; types that the catalog does not hold may carry anything.
const byType = (event: unknown, definitions: ReadonlyArray<AnyDefinition>): unknown => ({
  ...Object(event),
  allOf: definitions.map((definition) => ({
    anyOf: [
      { properties: { type: { not: { const: definition.name } } } },
      { properties: { data: { $ref: `#/components/schemas/${eventSchema(definition)}` } } }
    ]
  }))
})

// AsyncAPI's own schema language is a superset of JSON Schema draft 07. What a schema names goes beside it; only the
// frames' own names are kept as they are, so that two events cannot mean different things by one name.
const add = (schemas: Record<string, unknown>, name: string, of: Schema.Top): void => {
  const { definitions, schema } = JsonSchema.toDocumentDraft07(Schema.toJsonSchemaDocument(of))
  const nameOf = (definition: string) => name in messages ? definition : `${name}.${safe(definition)}`
  schemas[name] = withRefs(schema, nameOf)
  for (const [definition, body] of Object.entries(definitions)) {
    schemas[nameOf(definition)] = withRefs(body, nameOf)
  }
}

const safe = (name: string): string => name.replaceAll(/[^A-Za-z0-9._-]/g, "_")

const refPattern = /^#\/definitions\/([^/]+)/

const withRefs = (value: unknown, nameOf: (definition: string) => string): unknown => {
  if (Array.isArray(value)) return value.map((item) => withRefs(item, nameOf))
  if (typeof value !== "object" || value === null) return value
  return record(
    Object.entries(value),
    ([key, item]) =>
      key === "$ref" && typeof item === "string"
        ? item.replace(refPattern, (_, token: string) => `#/components/schemas/${nameOf(unescape(token))}`)
        : withRefs(item, nameOf),
    ([key]) => key
  )
}

// A segment of a JSON pointer inside a URI.
const unescape = (token: string): string => decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~")
