-- Every type that a column can have, by the catalog: alone, in arrays of one
-- and two dimensions that begin anywhere, and in composites, alone and in
-- arrays.  What a pull sends, a push stores again as it was.
--
-- Seen failing: with to_json() in wire.c in place of the code for arrays and
-- composites (the casts below raise); without begins_at_one(); with a comma for
-- the delimiter in array_text().
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA every;
SET search_path = every;
SET timezone = 'UTC';

-- Types as extensions make them: one whose arrays have a delimiter of their
-- own, as geometry's have, and that has a cast to json, as hstore does.  No
-- cast is ever called: it would run with the rights of whoever pulls or deletes.
CREATE TYPE semi;
CREATE FUNCTION semi_in(cstring) RETURNS semi LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION semi_out(semi) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE semi (INPUT = semi_in, OUTPUT = semi_out, LIKE = text, DELIMITER = ':');
CREATE TYPE colour AS ENUM ('red', 'so "blue"', 'a,b');
CREATE TYPE flat AS (a int, "B c" text, d timestamptz, e jsonb);
CREATE TYPE deep AS (f flat, fs flat[], n numeric[], s semi);
CREATE DOMAIN list AS int[] CHECK (cardinality(VALUE) < 5);
CREATE DOMAIN document AS jsonb CHECK (jsonb_typeof(VALUE) <> 'boolean');
CREATE DOMAIN paint AS colour;
CREATE TYPE stretch AS RANGE (subtype = timestamptz);
CREATE FUNCTION never(semi) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'cast by %', current_user; END $$;
CREATE FUNCTION never(flat) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'cast by %', current_user; END $$;
CREATE FUNCTION never(colour) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'cast by %', current_user; END $$;
CREATE CAST (semi AS json) WITH FUNCTION never(semi);
CREATE CAST (flat AS json) WITH FUNCTION never(flat);
CREATE CAST (colour AS json) WITH FUNCTION never(colour);

CREATE TABLE samples (type text, samples text[]);
INSERT INTO samples VALUES
	('bool', '{t,f}'), ('bytea', '{"\\\\x","\\\\x00ff5c2241"}'), ('"char"', '{a,"\""}'), ('name', '{"N \"n\"",""}'),
	('int2', '{-32768,32767}'), ('int4', '{-2147483648,2147483647}'), ('int8', '{-9223372036854775808,9223372036854775807}'),
	('int2vector', '{"1 -2 3",""}'), ('oidvector', '{"1 4294967295",""}'), ('oid', '{0,4294967295}'), ('tid', '{"(4294967295,1)"}'),
	('xid', '{3,4294967295}'), ('cid', '{0}'), ('xid8', '{18446744073709551615}'), ('text', '{"a \\\"\\\\ {b},(c)",NULL," ",""}'), ('varchar', '{"é\t","null"}'), ('bpchar', '{" x","NULL"}'),
	('numeric', '{1.50,-12345678901234567890.123456789012345678901234567890,NaN,Infinity}'), ('float4', '{-1.17549435e-38,Infinity}'), ('float8', '{4.94065645841247e-324,NaN,1e300}'), ('money', '{12.34}'),
	('json', '{"null","\"null\"","{\"a\": [1, null]}","[1]","[[1, 2], [3, 4]]","1.50","{\"$json\": \"1\"}","\"\\u0000\""}'), ('jsonb', '{"null","\"null\"","{\"a\": [1, null]}","[1]","[[1,2],[3,4]]","true","{\"$json\": \"1\"}","{\"$json\": 1}"}'),
	('jsonpath', '{"$.\"a\""}'), ('point', '{"(1,-2.5)"}'), ('lseg', '{"[(0,0),(1,1)]"}'), ('path', '{"((0,0),(1,1))","[(0,0)]"}'), ('box', '{"(2,2),(1,1)"}'), ('polygon', '{"((0,0),(1,1),(1,0))"}'), ('line', '{"{1,-1,0}"}'), ('circle', '{"<(0,0),1>"}'),
	('macaddr', '{08:00:2b:01:02:03}'), ('macaddr8', '{08:00:2b:01:02:03:04:05}'), ('inet', '{10.0.0.1/8,::1}'), ('cidr', '{10.0.0.0/8}'), ('bit', '{1,0}'), ('varbit', '{"",0101}'),
	('date', '{2024-02-29,infinity,-infinity,"4714-11-24 BC",5874897-12-31}'), ('time', '{24:00:00,12:34:56.789012}'), ('timetz', '{12:34:56.789012+05:45}'), ('interval', '{"-1 mons +3 days -04:05:06.789","00:00:00"}'),
	('timestamp', '{infinity,2024-02-29 12:34:56.789012,"4714-11-24 00:00:00 BC"}'), ('timestamptz', '{-infinity,2024-02-29 12:34:56.789012+00,294276-12-31 23:59:59.999999+00}'),
	('uuid', '{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'), ('pg_lsn', '{FFFFFFFF/FFFFFFFF}'), ('tsvector', '{"''a b'':1A ''c'':2",""}'), ('tsquery', '{"''a'' & !''b''"}'), ('txid_snapshot', '{1:5:2}'), ('pg_snapshot', '{1:5:2}'), ('refcursor', '{"a b"}'),
	('regproc', '{now}'), ('regprocedure', '{now()}'), ('regoper', '{|/}'), ('regoperator', '{"+(integer,integer)"}'), ('regclass', '{pg_class,every.samples}'), ('regcollation', '{"\"C\""}'), ('regtype', '{integer,every.semi}'),
	('regrole', ARRAY[quote_ident(current_user)]), ('regnamespace', '{pg_catalog}'), ('regconfig', '{english}'), ('regdictionary', '{simple}'), ('aclitem', ARRAY[format('=r/%I', current_user)]),
	('int4range', '{"[1,5)",empty,"(,)"}'), ('int8range', '{"[1,5)"}'), ('numrange', '{"(,1.50]"}'), ('tsrange', '{"[\"2024-02-29 12:00:00\",infinity)"}'), ('tstzrange', '{"[\"2024-02-29 12:00:00+00\",)"}'), ('daterange', '{"[-infinity,2024-02-29)"}'),
	('int4multirange', '{"{[1,3),[7,9)}","{}"}'), ('int8multirange', '{"{[1,3)}"}'), ('nummultirange', '{"{[1.5,3]}"}'), ('tsmultirange', '{"{[\"2024-02-29 12:00:00\",infinity)}"}'), ('tstzmultirange', '{"{}"}'), ('datemultirange', '{"{[-infinity,2024-02-29)}"}'),
	('information_schema.cardinal_number', '{7}'), ('information_schema.character_data', '{a}'), ('information_schema.sql_identifier', '{b}'), ('information_schema.time_stamp', '{2024-02-29 12:34:56+00}'), ('information_schema.yes_or_no', '{YES}'),
	('semi', '{a:b,"{\"",""}'), ('colour', '{red,"so \"blue\"","a,b"}'), ('paint', '{"a,b"}'), ('list', '{"{1,NULL}","[2:3]={1,2}","{}"}'), ('document', '{"null","{\"$json\": \"x\"}","[2]"}'), ('stretch', '{"[\"2024-02-29 12:00:00+00\",infinity)"}'), 
	('stretch_multirange', '{"{[\"2024-02-29 12:00:00+00\",\"2024-02-29 13:00:00+00\")}"}'),
	('flat', '{"(1,\"x \"\"y\"\" \\\\\\\\\",2024-02-29 12:34:56+00,null)","(,,,)","(,\"\",infinity,\"\"\"null\"\"\")"}'), ('deep', '{"(\"(1,x,,)\",\"{\"\"(2,,,null)\"\",NULL}\",\"{1.0,NaN}\",a:b)","(,,,)"}');
-- no value of these can be written as text and read back
CREATE TABLE unreadable (type text);
INSERT INTO unreadable VALUES ('pg_node_tree'), ('gtsvector'), ('pg_ndistinct'), ('pg_dependencies'), ('pg_mcv_list'), ('pg_brin_bloom_summary'), ('pg_brin_minmax_multi_summary'),
	('xml');		-- not in every server
DELETE FROM samples WHERE to_regtype(type) IS NULL OR samples IS NULL;
-- none is forgotten
SELECT t.oid::regtype AS "no sample" FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname IN ('pg_catalog', 'information_schema', 'every')
	AND (typtype IN ('b', 'r', 'm', 'e', 'd') OR typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c') AND NOT (typcategory = 'A' AND typelem <> 0 AND typoutput = 'array_out'::regproc) AND typname <> '_record'
	AND t.oid NOT IN (SELECT to_regtype(type) FROM samples UNION ALL SELECT to_regtype(type) FROM unreadable WHERE to_regtype(type) IS NOT NULL);

-- row n of a has the nth sample of each; then rows of NULLs, of empty arrays
DO $$ DECLARE s record; i int := 0; columns text := ''; n int; BEGIN
	FOR s IN SELECT * FROM samples ORDER BY type LOOP
		i := i + 1;
		EXECUTE format('CREATE TYPE c%s AS (x %s, y %2$s[])', i, s.type);
		columns := columns || format(', s%s %s, a%1$s %2$s[], b%1$s %2$s[], c%1$s c%1$s, d%1$s c%1$s[]', i, s.type);
	END LOOP;
	EXECUTE format('CREATE TABLE a (id int PRIMARY KEY%s)', columns);
	INSERT INTO a (id) SELECT generate_series(1, 12);
	i := 0;
	FOR s IN SELECT * FROM samples ORDER BY type LOOP
		i := i + 1;
		FOR n IN 1 .. 8 LOOP
			EXECUTE format('UPDATE a SET s%1$s = $1[$2]::%2$s, a%1$s = $3::%2$s[], b%1$s = $4::%2$s[], c%1$s = ROW($1[$2]::%2$s, $3::%2$s[]), d%1$s = ARRAY[ROW($1[$2]::%2$s, NULL), NULL]::c%1$s[] WHERE id = $2', i, s.type)
				USING s.samples, n,
				-- one dimension; two; two that begin elsewhere
				CASE n % 3 WHEN 0 THEN s.samples || NULL::text WHEN 1 THEN ARRAY[[s.samples[1], NULL], [s.samples[n], s.samples[1]]] ELSE array_fill(s.samples[n], '{2,1}', '{0,-3}') END,
				array_fill(s.samples[1], '{2}', ARRAY[n]);
		END LOOP;
		EXECUTE format('UPDATE a SET a%1$s = ''{}'', d%1$s = ''{}'' WHERE id = 9', i);
	END LOOP;
END $$;
CREATE TABLE z (LIKE a INCLUDING ALL);
SELECT tide.track('a', shared => true);
SELECT tide.track('z', shared => true);
SELECT p->'summary'->>'succeeded' AS stored, p->'failed' AS failed FROM tide.push(jsonb_build_object('changes', jsonb_build_object('z',
	tide.pull(entity_types => '{a}', max_rows => 500)::jsonb->'changesByType'->'a'))) p;
CREATE FUNCTION differ() RETURNS TABLE (type text, "column" name, id int, was text, became text) LANGUAGE plpgsql AS $$ BEGIN
	FOR "column", type IN SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'a'::regclass AND attnum > 1 AND attname NOT IN ('lastModifiedAt', 'clientId') ORDER BY attnum LOOP
		RETURN QUERY EXECUTE format('SELECT $1, $2, id, a.%1$I::text, z.%1$I::text FROM a FULL JOIN z USING (id) WHERE a.%1$I::text IS DISTINCT FROM z.%1$I::text', "column") USING type, "column";
	END LOOP; END $$;
SELECT * FROM differ();
SELECT count(*) > 1000 AS "many values" FROM tide.changes(entity_types => '{z}', max_rows => 500) c, jsonb_each(c.data) WHERE value <> 'null';
-- and it is a replay, so both are written alike
SELECT p->'summary'->>'succeeded' AS n, (SELECT count(DISTINCT s->>'status') = 1 AND min(s->>'status') = 'unchanged' FROM json_array_elements(p->'succeeded') s) AS unchanged
	FROM tide.push(jsonb_build_object('changes', jsonb_build_object('z', tide.pull(entity_types => '{z}', max_rows => 500)::jsonb->'changesByType'->'z'))) p;
DROP SCHEMA every CASCADE;
