/**
 * What a component's types know. The compiler checks this file; running it checks nothing more.
 */
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Connection, Run, RunCommands } from "effect-emitter/client"
import { Event } from "effect-emitter/events"
import {
  type CommandableRun,
  type EmitterProvider,
  type useConnection,
  useEvent,
  type useRequests,
  type useRun,
  type useRuns
} from "effect-emitter/react"

const Placed = Event.make("order_placed", { payload: { total: Schema.Finite, at: Schema.DateFromString } })

describe("types of the hooks", () => {
  it("know the payload of an event by its definition, and of a built-in one by its name", () => {
    const component = () => {
      useEvent(Placed, ({ payload, type }) => {
        expectTypeOf(type).toEqualTypeOf<"order_placed">()
        expectTypeOf(payload.total).toEqualTypeOf<number>()
        expectTypeOf(payload.at).toEqualTypeOf<string>()
      })
      useEvent("text_delta", ({ payload, type }) => {
        expectTypeOf(type).toEqualTypeOf<"text_delta">()
        expectTypeOf(payload.delta).toEqualTypeOf<string>()
      })
      // @ts-expect-error no built-in event has this name
      useEvent("order_placed", () => {})
    }
    expectTypeOf(component).toBeFunction()
  })

  it("know a run, and how the connection stands", () => {
    expectTypeOf<typeof useRuns>().returns.toEqualTypeOf<ReadonlyArray<CommandableRun>>()
    expectTypeOf<typeof useRun>().returns.toEqualTypeOf<CommandableRun | undefined>()
    expectTypeOf<CommandableRun>().toExtend<Run & RunCommands>()
    expectTypeOf<ReturnType<typeof useRequests>[number]["title"]>().toEqualTypeOf<string>()
    expectTypeOf<ReturnType<typeof useConnection>["status"]>().toEqualTypeOf<
      ReturnType<Connection["status"]["getSnapshot"]>
    >()
  })

  it("take options, or a connection of any catalog, and not both", () => {
    type Props = Parameters<typeof EmitterProvider>[0]
    expectTypeOf<{ readonly url: string; readonly token: () => string }>().toExtend<Props>()
    expectTypeOf<{ readonly connection: Connection<typeof Placed> }>().toExtend<Props>()
    expectTypeOf<{ readonly connection: Connection; readonly url: string }>().not.toExtend<Props>()
    expectTypeOf<{ readonly threads: ReadonlyArray<string> }>().not.toExtend<Props>()
  })
})
