DROP TABLE unconfirmed_mail;
