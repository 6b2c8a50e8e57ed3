-- Change: adds who is signed in to the console by an issuer
-- Locks: console_sessions, for a moment
-- Min reader: 1

-- Sessions of people whom an OpenID Connect issuer signed in. actor: who they are, as in audit entries; role and sources (a
-- JSON array; NULL for all): as the token had them, until expires_at. key_proof is then an HMAC of the issuer's settings. A
-- program that does not know these columns takes such a session for ended.
ALTER TABLE console_sessions ADD COLUMN actor text;
ALTER TABLE console_sessions ADD COLUMN role text;
ALTER TABLE console_sessions ADD COLUMN sources text;
