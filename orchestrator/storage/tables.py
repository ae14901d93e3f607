"""The tables of a run, as studies/kinds/ declares them; the rest of the store knows no study."""

from collections.abc import Mapping

from orchestrator.storage.schema import Table
from studies import kinds
from studies.tables import ERRORS

ALL_TABLES: Mapping[str, Table] = {
    table.name: Table(table.name, table.schema(), table.identity)
    for table in (*kinds.tables().values(), ERRORS)
}
