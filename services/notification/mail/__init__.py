"""How deliveries leave: a letter, an envelope around it, a mail server that takes it, and the pace of it all."""
