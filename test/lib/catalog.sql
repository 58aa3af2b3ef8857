-- What an extension is in the catalogs, a line each: members, with bodies,
-- columns, indexes, constraints, grants and comments.  Nothing in it depends
-- on when or how the extension came there.  psql's variable "extension" names it.

WITH member AS (
	SELECT d.classid, d.objid, (pg_identify_object(d.classid, d.objid, 0)).*
	FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = :'extension' AND d.deptype = 'e'
), relation AS (
	SELECT m.identity AS of, c.* FROM member m JOIN pg_class c ON c.oid = m.objid
	WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT m.identity, c.* FROM member m JOIN pg_type t ON t.oid = m.objid JOIN pg_class c ON c.oid = t.typrelid
	WHERE m.classid = 'pg_type'::regclass AND c.relkind = 'c'
), lines AS (
	SELECT 'extension' AS kind, extname::text AS of,
		concat_ws(' ', extversion, extrelocatable, extnamespace::regnamespace,
			(SELECT array_agg(r::regclass::text) FROM unnest(extconfig) r), extcondition,
			obj_description(oid, 'pg_extension')) AS line
	FROM pg_extension WHERE extname = :'extension'
	UNION ALL
	SELECT 'member', identity, concat_ws(' ', type, obj_description(objid, classid::regclass::name)) FROM member
	UNION ALL
	SELECT 'granted at first', m.identity, concat_ws(' ', i.objsubid, i.privtype, i.initprivs)
	FROM member m JOIN pg_init_privs i ON i.classoid = m.classid AND i.objoid = m.objid
	UNION ALL
	SELECT 'function', m.identity, concat_ws(' ', pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl)
	FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	UNION ALL
	SELECT 'type', m.identity, concat_ws(' ', t.typtype, t.typcategory, t.typowner::regrole, t.typacl)
	FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
	UNION ALL
	SELECT 'event trigger', m.identity, concat_ws(' ', t.evtevent, t.evtfoid::regproc, t.evtenabled,
		(SELECT array_agg(tag ORDER BY tag) FROM unnest(t.evttags) tag))
	FROM member m JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND t.oid = m.objid
	UNION ALL
	SELECT 'relation', of, concat_ws(' ', relkind, relpersistence, relreplident, relrowsecurity,
		relowner::regrole, reloptions, relacl, CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END)
	FROM relation
	UNION ALL
	SELECT 'sequence', r.of, concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin,
		s.seqcache, s.seqcycle)
	FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
	UNION ALL
	-- in their order, whatever their numbers
	SELECT 'columns', r.of, string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
			a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression, a.attcollation::regcollation,
			a.attacl,
			array(SELECT o FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver='), pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum)),
		', ' ORDER BY a.attnum)
	FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum GROUP BY r.of
	UNION ALL
	SELECT 'index', r.of, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisreplident, i.indisclustered, i.indisvalid,
		obj_description(i.indexrelid, 'pg_class'))
	FROM relation r JOIN pg_index i ON i.indrelid = r.oid
	UNION ALL
	SELECT 'constraint', r.of, concat_ws(' ', c.conname, pg_get_constraintdef(c.oid), c.convalidated)
	FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
	UNION ALL
	SELECT 'trigger', r.of, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
	FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
)
SELECT concat_ws(': ', kind, of, line) AS line FROM lines ORDER BY line COLLATE "C";
