// Which functions a query calls, and whether all of them are built-ins known to change no table. Any other
// function could do anything, and its text is not in the log.
import { isSymbol, wordAt, type Token } from './sql-tokens.ts';

const listed = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Words before a bracket that call nothing: keywords, and types with a length. */
const NO_CALL = listed(`
  all and any array as between by case check coalesce cube distinct do else end except exists fetch filter for
  from greatest group grouping having ilike in intersect interval into is isnull join lateral least like limit
  materialized not notnull nullif of offset on only operator or order over overlaps partition range returning
  rollup row rows select sets set similar some then to union unique using values variadic when where window with
  within xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize
  copy key primary references conflict generated include default constraint options begin cast collate
  bigint bit boolean bool bpchar bytea char character date dec decimal double float float4 float8 int int2 int4
  int8 integer json jsonb name nchar numeric precision real regclass regtype smallint text time timestamp
  timestamptz timetz uuid varbit varchar varying
`);

/** Built-ins that change no table. Those that run a text they are given (`query_to_xml`) are not among them. */
const HARMLESS = listed(`
  abs acldefault aclexplode acos age any_value array_agg array_append array_cat array_dims array_fill
  array_length array_lower array_ndims array_position array_positions array_prepend array_remove
  array_replace array_sample array_shuffle array_to_json array_to_string array_upper ascii asin atan atan2
  avg bit_and bit_length bit_or bit_xor bool_and bool_or btrim cardinality cbrt ceil ceiling char_length
  character_length chr clock_timestamp col_description concat concat_ws convert_from convert_to corr cos cot
  count covar_pop covar_samp cume_dist current_catalog current_database current_date current_query
  current_role current_schema current_schemas current_setting current_time current_timestamp current_user
  currval date_add date_bin date_part date_subtract date_trunc daterange decode degrees dense_rank div
  encode enum_first enum_last enum_range erf every exp extract factorial first_value floor format
  format_type gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte host hostmask
  inet_client_addr inet_client_port inet_server_addr inet_server_port initcap int4range int8range isfinite
  json_agg json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
  json_each json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_agg
  json_object_keys json_populate_record json_populate_recordset json_query json_scalar json_serialize
  json_strip_nulls json_table json_to_record json_to_recordset json_typeof json_value jsonb_agg
  jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
  jsonb_concat jsonb_each jsonb_each_text jsonb_exists jsonb_extract_path jsonb_extract_path_text
  jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match
  jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record
  jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record jsonb_to_recordset
  jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval lcm lead left length ln
  localtime localtimestamp log log10 lower lower_inc lower_inf lpad ltrim make_date make_interval make_time
  make_timestamp make_timestamptz masklen max md5 min min_scale mod mode network nextval normalize now
  nth_value ntile num_nonnulls num_nulls numnode numrange obj_description octet_length oid overlay
  parse_ident percent_rank percentile_cont percentile_disc pg_advisory_lock pg_advisory_unlock
  pg_advisory_unlock_all pg_advisory_xact_lock pg_available_extensions pg_backend_pid pg_blocking_pids
  pg_cancel_backend pg_char_to_encoding pg_client_encoding pg_collation_for pg_column_is_updatable
  pg_column_size pg_conf_load_time pg_current_snapshot pg_current_wal_lsn pg_current_xact_id
  pg_current_xact_id_if_assigned pg_database_size pg_describe_object pg_encoding_to_char pg_export_snapshot
  pg_has_role pg_identify_object pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema pg_jit_available
  pg_last_wal_replay_lsn pg_listening_channels pg_lock_status pg_my_temp_schema pg_notify
  pg_options_to_table pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time
  pg_relation_filenode pg_relation_is_publishable pg_relation_is_updatable pg_relation_size
  pg_sequence_last_value pg_sequence_parameters pg_show_all_settings pg_size_bytes pg_size_pretty pg_sleep
  pg_table_size pg_tablespace_location pg_tablespace_size pg_terminate_backend pg_timezone_names
  pg_total_relation_size pg_try_advisory_lock pg_try_advisory_xact_lock pg_typeof pg_xact_commit_timestamp
  phraseto_tsquery pi plainto_tsquery point position pow power quote_ident quote_literal quote_nullable
  radians random rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
  regexp_split_to_array regexp_split_to_table regexp_substr regr_slope repeat replace reverse right round
  row_number row_security_active row_to_json rpad rtrim scale session_user set_config setseed setweight
  sha224 sha256 sha384 sha512 shobj_description sign similarity sin split_part sqrt starts_with
  statement_timestamp stddev stddev_pop stddev_samp strict_word_similarity string_agg string_to_array
  string_to_table strpos substr substring sum tan timeofday timezone to_ascii to_char to_date to_hex to_json
  to_jsonb to_number to_regclass to_regnamespace to_regproc to_regprocedure to_regrole to_regtype
  to_timestamp to_tsquery to_tsvector transaction_timestamp translate treat trim trim_array trim_scale trunc
  ts_headline ts_rank ts_rank_cd tsrange tstzrange tsvector_to_array txid_current txid_current_if_assigned
  unnest upper upper_inc upper_inf user uuidv4 uuidv7 var_pop var_samp variance version websearch_to_tsquery
  width_bucket word_similarity xmlagg xpath
`);

/** Families of built-ins that only tell of the server. */
const TELLING = /^(?:pg_stat_get_\w+|pg_get_\w+|pg_\w+_is_visible|has_\w+_privilege)$/;

const isKnown = (name: string): boolean => HARMLESS.has(name) || TELLING.test(name);

/** Words after which a name with a bracket is being defined or written to, not called. */
const NAMED_AFTER = ['into', 'as', 'table', 'copy'];
const MAIN = ['select', 'insert', 'update', 'delete', 'merge', 'values', 'table'];

interface Frame {
  /** Between `with` and its main statement: names with brackets are columns of named queries. */
  isList: boolean;
  /** What follows the bracket is selected, not named by it: `distinct on (…)`. */
  isDistinctOn: boolean;
}

/** Whether every function that these tokens call is a built-in that changes no table. */
export function callsOnlyHarmless(tokens: readonly Token[]): boolean {
  const frames: Frame[] = [{ isList: false, isDistinctOn: false }];
  let closed: Frame | null = null;
  // Where the qualified name that is being read began.
  let start = 0;
  for (const [at, token] of tokens.entries()) {
    const frame = frames.at(-1);
    if (isSymbol(tokens, at, '(')) {
      const isDistinctOn = wordAt(tokens, at - 1) === 'on' && wordAt(tokens, at - 2) === 'distinct';
      frames.push({ isList: false, isDistinctOn });
    } else if (isSymbol(tokens, at, ')')) {
      closed = frames.length > 1 ? (frames.pop() ?? null) : null;
    } else if (token.kind === 'word' || token.kind === 'name') {
      if (!isSymbol(tokens, at - 1, '.')) start = at;
      if (frame && token.kind === 'word') noteList(frame, tokens, at);
      if (!isSymbol(tokens, at + 1, '(')) continue;
      const follows = isSymbol(tokens, start - 1, ')') && closed?.isDistinctOn === false;
      if (!follows && frame?.isList !== true && !isHarmless(tokens, start, at)) return false;
    }
  }
  return true;
}

function noteList(frame: Frame, tokens: readonly Token[], at: number): void {
  const word = wordAt(tokens, at);
  if (word === 'with') frame.isList = beginsList(tokens, at + 1);
  else if (MAIN.includes(word) && !isSymbol(tokens, at - 1, '.')) frame.isList = false;
}

/** `with a as`, `with a (b) as`, `with recursive`; `with ordinality as` names no query. */
function beginsList(tokens: readonly Token[], at: number): boolean {
  const next = wordAt(tokens, at);
  if (next === 'recursive') return true;
  return (
    next !== 'ordinality' && (wordAt(tokens, at + 1) === 'as' || isSymbol(tokens, at + 1, '('))
  );
}

function isHarmless(tokens: readonly Token[], start: number, at: number): boolean {
  const token = tokens[at];
  if (!token || NAMED_AFTER.includes(wordAt(tokens, start - 1))) return true;
  const isCast = isSymbol(tokens, start - 1, ':') && isSymbol(tokens, start - 2, ':');
  if (isCast) return true;
  if (start === at)
    return isKnown(token.text) || (token.kind === 'word' && NO_CALL.has(token.text));
  const schema = at - start === 2 ? tokens[start]?.text : null;
  if (schema === 'information_schema') return token.text === '_pg_expandarray';
  return schema === 'pg_catalog' && isKnown(token.text);
}
