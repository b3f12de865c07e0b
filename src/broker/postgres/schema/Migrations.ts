/**
 * The steps from no schema to the one that this package works with, as SQL.
 *
 * The functions run with the rights of whoever made them (`security definer`): a
 * process needs no right on a table, only to use the schema and to run its functions.
 *
 * @since 0.2.0
 */
import { claims } from "./ClaimSql.ts"
import * as CommandSql from "./CommandSql.ts"
import * as LeaseSql from "./LeaseSql.ts"
import * as LogSql from "./LogSql.ts"
import * as PresenceSql from "./PresenceSql.ts"
import { statistics } from "./StatisticsSql.ts"
import { tables } from "./Tables.ts"

/**
 * What makes a schema be of `version`, if it is of the one before.
 *
 * @category models
 * @since 0.2.0
 */
export interface Migration {
  readonly version: number
  readonly sql: string
}

// What a process calls takes one jsonb first, and is shut off from what else is in the search path of whoever calls.
const shutOff = (schema: string): string => `
do $shut$
declare
  f regprocedure;
begin
  for f in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = '${schema}' and p.proargnames[1] = 'p' loop
    execute format('alter function %s security definer set search_path = ${schema}, pg_temp', f);
  end loop;
end $shut$;
revoke all on all functions in schema ${schema} from public;
`

// Whoever may greet may call what this step added: rights were given to functions that were there.
const sameRights = (schema: string): string => `
do $rights$
declare
  f regprocedure;
  grantee regrole;
begin
  for f, grantee in select p.oid, a.grantee from pg_proc p
    cross join (
      select distinct x.grantee from pg_proc g, aclexplode(g.proacl) x
      where g.oid = to_regprocedure('${schema}.greet(jsonb)') and x.grantee not in (0, g.proowner)
    ) a
    where p.pronamespace = '${schema}'::regnamespace and p.proargnames[1] = 'p' loop
    execute format('grant execute on function %s to %s', f, grantee);
  end loop;
end $rights$;
`

/**
 * The steps, in order.
 *
 * @category constructors
 * @since 0.2.0
 */
export const migrations = (schema: string): ReadonlyArray<Migration> => [
  {
    version: 1,
    sql: `create schema if not exists ${schema};
set local search_path = ${schema}, pg_temp;
${tables}${LogSql.lineage}${LogSql.functions}${LeaseSql.functions}${CommandSql.functions}${PresenceSql.functions}${
      shutOff(schema)
    }
update meta set version = 1;
`
  },
  {
    version: 2,
    sql: `set local search_path = ${schema}, pg_temp;
${claims}${LogSql.keeping}${shutOff(schema)}${sameRights(schema)}
update meta set version = 2;
`
  },
  {
    version: 3,
    sql: `set local search_path = ${schema}, pg_temp;
${statistics}${shutOff(schema)}${sameRights(schema)}
update meta set version = 3;
`
  },
  {
    version: 4,
    sql: `set local search_path = ${schema}, pg_temp;
${LogSql.keeping}${shutOff(schema)}
update meta set version = 4;
`
  },
  {
    version: 5,
    sql: `set local search_path = ${schema}, pg_temp;
${LogSql.lineage}
update meta set version = 5;
`
  }
]

/**
 * The version of the schema that this package works with.
 *
 * @category getters
 * @since 0.2.0
 */
export const version = migrations("emitter").length
