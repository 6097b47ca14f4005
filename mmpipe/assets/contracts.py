"""Loads data contracts and holds them to the tables they are about; what disagrees is named with file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.assets.contract_rules import ERROR, ROWS_ACCOUNTED_FOR, SCHEMA, UNEXPECTED_ROWS, ContractRule, QualityReader
from mmpipe.assets.contract_types import describe_logical_type, describe_physical_type, read_type_rules
from mmpipe.assets.marked_yaml import MarkedYaml, read_marked_yaml
from mmpipe.errors import ContractError, name_nearest
from mmpipe.tables.published import PUBLISHED_TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmpipe.tables.columns import Column, Table

CONTRACT_SUFFIX = ".odcs.yaml"

# What the Open Data Contract Standard 3.2 allows at each level; a test compares them with its JSON schema.
CONTRACT_KEYS = frozenset({
    "apiVersion", "authoritativeDefinitions", "context", "contractCreatedTs", "customProperties", "dataProduct",
    "description", "domain", "id", "kind", "name", "price", "roles", "schema", "servers", "slaDefaultElement",
    "slaProperties", "status", "support", "tags", "team", "tenant", "version",
})  # fmt: skip
ELEMENT_KEYS = frozenset({
    "authoritativeDefinitions", "businessName", "customProperties", "deprecated", "description", "id", "logicalType",
    "name", "physicalName", "physicalType", "quality", "relationships", "synonyms", "tags",
})  # fmt: skip
TABLE_KEYS = ELEMENT_KEYS | {"context", "dataGranularityDescription", "properties"}
PROPERTY_KEYS = ELEMENT_KEYS | {
    "classification", "criticalDataElement", "encryptedName", "enum", "examples", "items", "logicalTypeOptions", "map",
    "partitionKeyPosition", "partitioned", "primaryKey", "primaryKeyPosition", "properties", "required",
    "semanticType", "transformDescription", "transformLogic", "transformSourceObjects", "unique",
}  # fmt: skip
_DESCRIPTION_KEYS = {"purpose", "limitations", "usage", "authoritativeDefinitions", "customProperties"}
_CUSTOM_PROPERTIES = ("accountsForRows",)


@dataclass(frozen=True, slots=True)
class Contract:
    """What one published table promises.

    Attributes:
        table: the table it is about.
        path: the contract's file.
        version: its version.
        description: purpose, limitations and usage, as Markdown.
        owners: teams, as Dagster writes them.
        tags: words the asset is found by.
        column_descriptions: what each column holds.
        rules: all rules, `schema` and `rows_accounted_for` first.
        accounts_for_rows: whether rows in = rows out + distinct rows removed must hold in every shard.
    """

    table: Table
    path: Path
    version: str
    description: str
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    column_descriptions: Mapping[str, str]
    rules: tuple[ContractRule, ...]
    accounts_for_rows: bool

    @property
    def table_name(self) -> str:
        """Name of the table, the asset and the file."""
        return self.table.name

    def locate(self, rule: ContractRule) -> str:
        """Return where a rule stands: file name and line."""
        return f"data_contracts/{self.path.name}:{rule.line}"


def find_contract_folder(folder: str | Path | None = None) -> Path:
    """Return the folder of the contracts: the one given, else `data_contracts` beside the package.

    Raises:
        ContractError: there is no such folder.
    """
    found = Path(folder).expanduser() if folder else Path(__file__).resolve().parents[2] / "data_contracts"
    if not found.is_dir():
        raise ContractError(
            f"No folder of data contracts at {found}. Run from a clone, or point MMPIPE_CONTRACTS at the folder that "
            f"holds raw_crawl{CONTRACT_SUFFIX} and its neighbours."
        )
    return found


def load_contracts(folder: Path, tables: Sequence[Table] = PUBLISHED_TABLES) -> dict[str, Contract]:
    """Return the contract of every table, by the table's name.

    Raises:
        ContractError: a contract is missing, is about no table, or is wrong; the message names file and line.
    """
    names = [table.name for table in tables]
    for path in sorted(folder.glob(f"*{CONTRACT_SUFFIX}")):
        name = path.name.removesuffix(CONTRACT_SUFFIX)
        if name not in names:
            raise ContractError(f"{path}:1: a contract about {name!r}, which is no table.{name_nearest(name, names)}")
    contracts = {}
    for table in tables:
        path = folder / f"{table.name}{CONTRACT_SUFFIX}"
        if not path.is_file():
            raise ContractError(f"{path}: the contract of {table.name} is missing. Every published table has one.")
        contracts[table.name] = load_contract(path, table)
    bind_queries(contracts.values())
    return contracts


def load_contract(path: Path, table: Table) -> Contract:
    """Return the contract in a file, held to its table. Its SQL is not bound yet; see `bind_queries`.

    Raises:
        ContractError: the contract is invalid or disagrees with the table; the message names file and line.
    """
    marked = read_marked_yaml(path)
    told = marked.require_known_keys(CONTRACT_KEYS)
    for key in ("apiVersion", "kind", "id", "version", "schema", "description", "team"):
        if not told.get(key):
            raise marked.complain(f"{key} is missing.", key)
    if told["kind"] != "DataContract":
        raise marked.complain(f"kind must be DataContract, not {told['kind']!r}.", "kind")
    if not str(told["apiVersion"]).startswith("v3."):
        raise marked.complain(f"apiVersion must be v3, not {told['apiVersion']!r}.", "apiVersion")
    if len(marked.require_list("schema")) != 1:
        raise marked.complain("schema must be a list of one table.", "schema")
    schema = marked.require_known_keys(TABLE_KEYS, "schema", 0)
    if schema.get("name") != table.name:
        raise marked.complain(
            f"the schema is named {schema.get('name')!r}, the file {table.name}.", "schema", 0, "name"
        )
    accounts_for_rows = _reads_account(marked)
    rules = [
        *_list_standing_rules(marked, accounts_for_rows),
        *QualityReader(marked, table.key, table.column_names).read_rules("schema", 0),
        *_read_properties(marked, table),
    ]
    _require_distinct(marked, rules)
    properties = marked.require_list("schema", 0, "properties")
    return Contract(
        table=table,
        path=path,
        version=str(told["version"]),
        description=_write_description(marked),
        owners=(_name_owner(marked),),
        tags=tuple(str(tag) for tag in marked.require_list("tags")),
        column_descriptions={item["name"]: str(item.get("description", "")) for item in properties},
        rules=tuple(rules),
        accounts_for_rows=accounts_for_rows,
    )


def bind_queries(contracts: Iterable[Contract]) -> None:
    """Have DuckDB resolve every name in the contracts' SQL against empty tables of the promised columns.

    Raises:
        ContractError: a query names an unknown column or function, or is not SQL; the message names file and line.
    """
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("PRAGMA disable_optimizer")  # names are wanted, not a good plan
        for contract in contracts:
            columns = ", ".join(
                f'"{column.name}" {describe_physical_type(column.dtype)}' for column in contract.table.columns
            )
            connection.execute(f'CREATE TABLE "{contract.table_name}" ({columns})')
            for rule in contract.rules:
                if rule.expectation != UNEXPECTED_ROWS:
                    continue
                query = rule.kwargs["unexpected_rows_query"].replace("${table}", f'"{contract.table_name}"')
                try:
                    connection.execute(f"PREPARE rule AS {query}")
                except duckdb.Error as error:
                    told = " ".join(str(error).split("LINE ")[0].split())
                    raise ContractError(
                        f"{contract.path}:{rule.line}: the query of rule {rule.id!r} does not fit the table: {told}"
                    ) from error


def _read_properties(marked: MarkedYaml, table: Table) -> list[ContractRule]:
    at = ("schema", 0, "properties")
    columns = {column.name: column for column in table.columns}
    reader = QualityReader(marked, table.key, table.column_names)
    rules: list[ContractRule] = []
    seen = set()
    for index, item in enumerate(marked.require_list(*at)):
        marked.require_known_keys(PROPERTY_KEYS, *at, index)
        name = str(item.get("name"))
        if name not in columns:
            nearest = name_nearest(name, columns)
            raise marked.complain(f"{table.name} has no column {name!r}.{nearest}", *at, index, "name")
        if name in seen:
            raise marked.complain(f"column {name!r} is described twice.", *at, index, "name")
        seen.add(name)
        _require_agreement(marked, (*at, index), item, columns[name], table.key)
        rules += read_type_rules(marked, (*at, index), item, columns[name], table.key)
        rules += reader.read_rules(*at, index, column=name)
    missing = [name for name in columns if name not in seen]
    if missing:
        raise marked.complain(
            f"{table.name} has columns that the contract does not describe: {', '.join(missing)}.", *at
        )
    return rules


def _require_agreement(
    marked: MarkedYaml, at: tuple[str | int, ...], item: dict[str, Any], column: Column, key: tuple[str, ...]
) -> None:
    is_key = column.name in key
    promised = {
        "logicalType": describe_logical_type(column.dtype),
        "physicalType": describe_physical_type(column.dtype),
        "required": not column.nullable,
        "primaryKey": is_key,
        "primaryKeyPosition": key.index(column.name) + 1 if is_key else -1,
    }
    defaults = {"required": False, "primaryKey": False, "primaryKeyPosition": promised["primaryKeyPosition"]}
    for name, expected in promised.items():
        told = item.get(name, defaults.get(name))
        if told != expected:
            raise marked.complain(
                f"{column.name}: the contract says {name} {told!r}, the table {expected!r}. Change one of them.",
                *at, name,
            )  # fmt: skip
    if not str(item.get("description") or "").strip():
        raise marked.complain(f"{column.name} has no description.", *at)
    if isinstance(item.get("items"), dict) and isinstance(column.dtype, pl.List):
        inner = column.dtype.inner
        for name, expected in (
            ("logicalType", describe_logical_type(inner)),
            ("physicalType", describe_physical_type(inner)),
        ):
            if item["items"].get(name, expected) != expected:
                raise marked.complain(
                    f"items of {column.name}: the contract says {name} {item['items'][name]!r}, the table "
                    f"{expected!r}.",
                    *at, "items", name,
                )  # fmt: skip


def _list_standing_rules(marked: MarkedYaml, accounts_for_rows: bool) -> list[ContractRule]:
    account = "Rows in the files are the rows the ledger names"
    if accounts_for_rows:
        account += "; rows in = rows out + distinct rows removed, in every shard"
    return [
        ContractRule(
            id=SCHEMA,
            description="Columns and types are those of the contract, and required columns hold no null.",
            severity=ERROR,
            expectation=SCHEMA,
            line=marked.find_line("schema", 0, "properties"),
        ),
        ContractRule(
            id=ROWS_ACCOUNTED_FOR,
            description=f"{account}.",
            severity=ERROR,
            expectation=ROWS_ACCOUNTED_FOR,
            line=marked.find_line("customProperties" if accounts_for_rows else "schema"),
        ),
    ]


def _reads_account(marked: MarkedYaml) -> bool:
    for index, item in enumerate(marked.require_list("customProperties")):
        told = marked.require_known_keys(
            ("id", "property", "value", "description", "vendor"), "customProperties", index
        )
        if told.get("property") not in _CUSTOM_PROPERTIES:
            raise marked.complain(
                f"unknown property {told.get('property')!r}."
                f"{name_nearest(str(told.get('property')), _CUSTOM_PROPERTIES)}",
                "customProperties", index,
            )  # fmt: skip
        return item.get("value") is True
    return False


def _require_distinct(marked: MarkedYaml, rules: list[ContractRule]) -> None:
    lines: dict[str, int] = {}
    for rule in rules:
        if rule.id in lines:
            raise ContractError(
                f"{marked.path}:{rule.line}: rule {rule.id!r} stands already on line {lines[rule.id]}; the id is the "
                f"key of the check's history and names one rule."
            )
        lines[rule.id] = rule.line


def _write_description(marked: MarkedYaml) -> str:
    told = marked.require_known_keys(_DESCRIPTION_KEYS, "description")
    parts = [str(told.get("purpose", ""))]
    parts += [f"**{name.capitalize()}:** {told[name]}" for name in ("limitations", "usage") if told.get(name)]
    return "\n\n".join(part for part in parts if part)


def _name_owner(marked: MarkedYaml) -> str:
    team = marked.data["team"]
    name = team.get("name") if isinstance(team, dict) else None
    if not isinstance(name, str) or not name.isidentifier():
        raise marked.complain(f"team needs a name of letters, digits and _, not {name!r}.", "team")
    return f"team:{name}"
