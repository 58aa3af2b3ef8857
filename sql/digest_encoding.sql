-- A digest is of UTF-8, whatever the encoding of the database: clients know no other.
--
-- Seen failing without append_utf8() in hash.c.
SELECT current_database() AS home \gset
CREATE DATABASE regress_pg_tide_latin1 TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_pg_tide_latin1
SET client_min_messages = warning;
CREATE EXTENSION pg_tide;
CREATE TABLE note (name text PRIMARY KEY);
SELECT tide.track('note', shared => true);
SET client_encoding = 'UTF8';
SET pg_tide.client_id = 'Zoë';
INSERT INTO note VALUES ('größe');
CREATE FUNCTION bucket(bytea) RETURNS int LANGUAGE sql AS 'SELECT get_byte(sha256($1), 0)';
SELECT d->'counts'->>bucket(convert_to('größe', 'UTF8')) AS in_utf8, d->'counts'->>bucket(convert_to('größe', 'LATIN1')) AS in_latin1,
	(d->'sums'->>bucket(convert_to('größe', 'UTF8')))::numeric = (SELECT sum(get_byte(h, i)::numeric * 256::numeric ^ (7 - i)) FROM generate_series(0, 7) i) AS sum
FROM (SELECT tide.digest(tide.cursor())->'digestByType'->'note' AS d) d,
	(SELECT sha256(convert_to(name, 'UTF8') || '\x1f' || convert_to(tide.pull()->'changesByType'->'note'->0->>'lastModifiedAt', 'UTF8') || '\x1f' || convert_to("clientId", 'UTF8')) AS h FROM note) h;
\c :home
DROP DATABASE regress_pg_tide_latin1;
