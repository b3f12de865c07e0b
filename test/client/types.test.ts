/**
 * What a program's types know of its events. The compiler checks this file; running it checks nothing more.
 */
import { describe, expectTypeOf, it } from "@effect/vitest"
import {
  Context,
  Effect,
  type Layer,
  type Redacted,
  Schema,
  type Scope,
  type Stream,
  type SubscriptionRef
} from "effect"
import { type AgentEvents, Event } from "effect-emitter"
import { Command } from "effect-emitter/events"
import {
  type AnyEvent,
  Client,
  type CommandError,
  connect,
  type Connection,
  type ConnectOptions,
  type Run,
  type Runs,
  type Status
} from "effect-emitter/client"

const Placed = Event.make("order_placed", { payload: { total: Schema.Finite, at: Schema.DateFromString } })
const Shipped = Event.make("order_shipped", { payload: { parcel: Schema.NonEmptyString } })
const catalog = Event.catalog(Placed, Shipped)

type BuiltInEvents = Stream.Success<Client.Client<AgentEvents.BuiltIn>["events"]>
type Own = Stream.Success<Client.Client<typeof Placed | typeof Shipped>["events"]>

describe("types of the client", () => {
  it("know the payload of each event by its type", () => {
    expectTypeOf<Own["type"]>().toEqualTypeOf<"order_placed" | "order_shipped" | "$unknown">()
    expectTypeOf<Extract<Own, { readonly type: "order_placed" }>["payload"]["at"]>().toEqualTypeOf<Date>()
    expectTypeOf<Extract<Own, { readonly type: "order_shipped" }>["payload"]["parcel"]>().toEqualTypeOf<string>()
    expectTypeOf<keyof Extract<Own, { readonly type: "order_shipped" }>["payload"]>().toEqualTypeOf<"parcel">()
    expectTypeOf<Extract<Own, { readonly type: "$unknown" }>["payload"]>().toEqualTypeOf<Schema.JsonObject>()
    expectTypeOf<Extract<BuiltInEvents, { readonly type: "text_delta" }>["payload"]["delta"]>().toEqualTypeOf<string>()
    expectTypeOf<Extract<BuiltInEvents, { readonly type: "input_requested" }>["payload"]["kind"]>().toEqualTypeOf<
      AgentEvents.RequestKind
    >()
    expectTypeOf<Extract<BuiltInEvents, { readonly type: "state_delta" }>["payload"]["patch"]>().toEqualTypeOf<
      ReadonlyArray<AgentEvents.PatchOperation>
    >()
    expectTypeOf<Extract<Run["parts"][number], { readonly type: "request" }>["status"]>().toEqualTypeOf<
      "open" | AgentEvents.RequestOutcome
    >()
    expectTypeOf<BuiltInEvents["type"]>().extract<"agent_started" | "auth_failed" | "custom" | "$unknown">().not
      .toBeNever()
  })

  it("name every way in which making and reading a client can fail", () => {
    const made = Client.make({ catalog, url: "ws://127.0.0.1" })
    expectTypeOf(made).toEqualTypeOf<
      Effect.Effect<
        Client.Client<typeof Placed | typeof Shipped>,
        Client.InvalidUrl | Client.InvalidLimit | Client.NoTransport,
        Scope.Scope
      >
    >()
    expectTypeOf<Stream.Error<Client.Client<AgentEvents.BuiltIn>["events"]>>()
      .toEqualTypeOf<Client.Refused | Client.SubscriberOverflow>()
    expectTypeOf<Client.Client<AgentEvents.BuiltIn>["status"]>().toEqualTypeOf<
      SubscriptionRef.SubscriptionRef<Status>
    >()
  })

  it("ask for what the token needs, and swallow what it fails with", () => {
    class Vault extends Context.Service<Vault, { readonly read: Effect.Effect<string, "locked"> }>()("Vault") {}
    const token = Effect.flatMap(Vault, ({ read }) => read)
    expectTypeOf(Client.make({ url: "ws://127.0.0.1", token })).toEqualTypeOf<
      Effect.Effect<
        Client.Client<AgentEvents.BuiltIn>,
        Client.InvalidUrl | Client.InvalidLimit | Client.NoTransport,
        Scope.Scope | Vault
      >
    >()
    class Orders extends Client.Service<Orders>()("Orders", { catalog }) {}
    expectTypeOf(Orders.layer({ url: "ws://127.0.0.1", token })).toEqualTypeOf<
      Layer.Layer<Orders, Client.InvalidUrl | Client.InvalidLimit | Client.NoTransport, Vault>
    >()
    expectTypeOf(Effect.flatMap(Orders, Effect.succeed)).toEqualTypeOf<
      Effect.Effect<Client.Client<typeof Placed | typeof Shipped>, never, Orders>
    >()
  })

  it("give the runs as one kind of store, whichever client keeps them", () => {
    expectTypeOf<Client.Client<AgentEvents.BuiltIn>["runs"]>().toEqualTypeOf<Connection["runs"]>()
    expectTypeOf<Connection["runs"]>().toEqualTypeOf<Runs>()
    expectTypeOf<ReturnType<Connection["run"]>["done"]>().resolves.toEqualTypeOf<Run | undefined>()
    expectTypeOf<Run["status"]>().toEqualTypeOf<
      "active" | "completed" | "failed" | "cancelled" | "timeout" | "lost"
    >()
  })

  it("take commands to runs as promises or as effects, and check what they have with them", () => {
    const Steer = Command.make("steer", { payload: { text: Schema.String, at: Schema.FiniteFromString } })
    const plain = (run: ReturnType<Connection["run"]>) => {
      expectTypeOf(run.cancel({ reason: "enough", timeoutMs: 1_000 })).toEqualTypeOf<Promise<Command.Outcome>>()
      expectTypeOf(run.answer("q1", { yes: true })).toEqualTypeOf<Promise<Command.Outcome>>()
      expectTypeOf(run.send(Steer, { text: "shorter", at: 1 })).toEqualTypeOf<Promise<Command.Outcome>>()
      // @ts-expect-error: no number
      void run.send(Steer, { text: "shorter", at: "1" })
      // @ts-expect-error: no JSON
      void run.answer("q1", () => {})
    }
    const effects = (run: ReturnType<Client.Client<AgentEvents.BuiltIn>["run"]>) => {
      const gives = expectTypeOf<Effect.Effect<Command.Outcome, CommandError>>()
      gives.toEqualTypeOf<ReturnType<typeof run.cancel>>()
      gives.toEqualTypeOf<ReturnType<typeof run.answer>>()
      expectTypeOf(run.send(Steer, { text: "shorter", at: 1 }, { timeout: "1 second" })).toEqualTypeOf<
        Effect.Effect<Command.Outcome, CommandError>
      >()
      // @ts-expect-error: no text
      void run.send(Steer, { at: 1 })
    }
    expectTypeOf(plain).returns.toEqualTypeOf<void>()
    expectTypeOf(effects).returns.toEqualTypeOf<void>()
    expectTypeOf<Run["stopping"]>().toEqualTypeOf<true | undefined>()
  })

  it("take a token in every form, and nothing else", () => {
    expectTypeOf<Client.Token>().toEqualTypeOf<
      string | Redacted.Redacted | { readonly token: string; readonly expiresAt?: number } | undefined
    >()
    expectTypeOf<number>().not.toExtend<NonNullable<ConnectOptions["token"]>>()
  })

  it("ask a plain program for no more than an address and a handler", () => {
    expectTypeOf(connect<AgentEvents.BuiltIn>).toBeCallableWith({ url: "/events", onEvent: (_: AnyEvent) => {} })
    expectTypeOf(connect<AgentEvents.BuiltIn>).returns.toEqualTypeOf<Connection>()
    expectTypeOf<{ readonly url: string }>().toExtend<ConnectOptions>()
    expectTypeOf<AnyEvent["payload"]>().toEqualTypeOf<Schema.JsonObject>()
  })

  it("know what a plain program's event is by its type: built in without a catalog, else of the catalog alone", () => {
    const plain = () =>
      connect({
        url: "/events",
        onEvent: (event) => {
          if (event.type === "text_delta") expectTypeOf(event.payload.delta).toEqualTypeOf<string>()
          if (event.type === "$unknown") expectTypeOf(event.payload).toEqualTypeOf<Schema.JsonObject>()
          // @ts-expect-error: no event of the built-in catalog
          if (event.type === "order_placed") return
        }
      })
    const own = () =>
      connect({
        url: "/events",
        catalog,
        onEvent: (event) => {
          expectTypeOf(event.type).toEqualTypeOf<"order_placed" | "order_shipped" | "$unknown">()
          if (event.type !== "order_placed") return
          expectTypeOf(event.payload.total).toEqualTypeOf<number>()
          // As it travels: a plain program decodes nothing.
          expectTypeOf(event.payload.at).toEqualTypeOf<string>()
        }
      })
    expectTypeOf(plain).returns.toEqualTypeOf<Connection>()
    expectTypeOf(own).returns.toEqualTypeOf<Connection<typeof Placed | typeof Shipped>>()
  })
})
