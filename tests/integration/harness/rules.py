# SPDX-License-Identifier: MIT
"""Rules that somebody adds to the table of events, who is not us."""


def add_trigger(database, condition, using, when="BEFORE"):
    """From now on an event for which the condition holds raises an error."""
    database.execute(
        "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger"
        f" LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN"
        f" RAISE EXCEPTION 'go away' USING {using}; END IF; RETURN NEW; END $$;"
        f" CREATE TRIGGER refuse {when} INSERT ON aurore.event"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )


def drop_trigger(database, name="refuse"):
    """PostgreSQL looks for the triggers of the partitions before it locks the
    table: one of a partition that is attached meanwhile would stay."""
    database.execute(
        "LOCK TABLE ONLY aurore.event IN ACCESS EXCLUSIVE MODE;"
        f" DROP TRIGGER {name} ON aurore.event"
    )


def add_unfilled_column(database):
    """It takes no NULL, has no default, and we do not send it (SQLSTATE 23502)."""
    database.execute(
        "ALTER TABLE aurore.event ADD extra int DEFAULT 0 NOT NULL;"
        " ALTER TABLE aurore.event ALTER extra DROP DEFAULT"
    )


def fill_column(database):
    database.execute("ALTER TABLE aurore.event ALTER extra SET DEFAULT 0")
