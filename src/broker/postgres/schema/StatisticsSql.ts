/**
 * The function that tells the planner how large the tables have become.
 *
 * A session keeps the plans that it made when the tables were small, until their
 * statistics change: by such a plan an append reads the whole log for each event.
 * Autovacuum looks once a minute at most, and starts counting anew when the server was
 * killed, so it may never come to it.
 *
 * @since 0.2.0
 */

/**
 * What makes the function, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const statistics = `
-- Analyzes the tables that grew to twice what they were, from a sample that takes a moment. One that is locked is left for later.
create function learn(p jsonb) returns jsonb language plpgsql as $$
declare
  t regclass;
begin
  if not pg_try_advisory_xact_lock(hashtext(current_schema() || '.learn')) then return 'false'::jsonb; end if;
  perform set_config('default_statistics_target', '10', true);
  for t in select c.oid from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
      and pg_relation_size(c.oid) > current_setting('block_size')::bigint * (2 * c.relpages + 16) loop
    execute format('analyze (skip_locked) %s', t);
  end loop;
  return 'true'::jsonb;
end $$;
`
