"""How each format is read: header, records, and whether a received file is whole."""
