-- Milliseconds; none: the server's own bound alone.
ALTER TABLE agents ADD COLUMN call_timeout BIGINT;
