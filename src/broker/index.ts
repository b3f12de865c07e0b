/**
 * The broker as programs see it: the seam, its errors and data, the broker in
 * memory, and a reader.
 *
 * @since 0.1.0
 */
export * from "./Broker.ts"
export { read } from "./LogReader.ts"
export { layer as layerMemory } from "./memory/MemoryBroker.ts"
