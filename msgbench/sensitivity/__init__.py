"""What the rules of a protocol are worth, measured on real images: the table of docs/protocols.md."""
