/**
 * The broker as programs see it: the seam, its errors and data, and the broker in
 * memory.
 *
 * @since 0.1.0
 */
export * from "./Broker.ts"
export { layer as layerMemory, layerConfig as layerMemoryConfig } from "./memory/MemoryBroker.ts"
