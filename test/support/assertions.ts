/**
 * What assertions are, for all tests. Chai's proxies only tell of assertions that do not exist, as the compiler does, and
 * make each of them take four times as long.
 */
import { chai } from "vitest"

chai.config.useProxy = false
