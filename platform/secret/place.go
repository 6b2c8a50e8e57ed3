package secret

// Place is where a sealed text is stored. The text can be decrypted only there, so that
// write access to the database does not allow using one secret in place of another.
type Place struct{ Table, Column, Row string }

// String is authenticated with the text: "table.column/row".
func (p Place) String() string { return p.Table + "." + p.Column + "/" + p.Row }
