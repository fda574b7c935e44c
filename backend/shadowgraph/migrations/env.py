"""Alembic's entry: `db/migrate.py` hands over the connection; there is no alembic.ini and no command line."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
