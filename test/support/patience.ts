/**
 * How many times longer than on an idle machine a test waits for what has to come, before it says that it never came.
 *
 * It bounds only how long a failure takes to show: a machine that is ten times slower passes the same tests.
 */
export const patience = 10
