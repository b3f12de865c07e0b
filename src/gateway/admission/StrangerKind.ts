/**
 * The kinds of sockets whose device is not known: `silent` ones on which no
 * request has come, `unauthenticated` ones that show no valid credential yet, and
 * `refused` ones whose peer has not hung up.
 *
 * @since 0.1.0
 */

/**
 * What a peer is that has no session: one that says nothing, one that has not signed
 * in, or one that was refused.
 *
 * @category models
 * @since 0.1.0
 */
export type StrangerKind = "silent" | "unauthenticated" | "refused"
