DROP TABLE schema_changes;
