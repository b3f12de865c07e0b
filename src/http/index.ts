/**
 * The program's own HTTP routes, signed in as its devices are.
 *
 * @since 0.1.0
 */
export * as SignIn from "./SignIn.ts"
