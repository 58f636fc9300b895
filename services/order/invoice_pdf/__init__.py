"""The PDF of an invoice or a credit note, made by a process of its own: it is work of a tenth of a second and more."""
