"""What a contract need not say and its readers would ask for."""

from __future__ import annotations

from millstream.contracts.contract import Contract


def unsaid(contract: Contract) -> list[str]:
    """What the contract leaves out of descriptions and units, one line each; empty when nothing."""
    bare = [column.name for column in contract.columns if not column.description]
    # A whole number may count or name something; a broken one measures.
    unitless = [column.name for column in contract.columns if column.type == "double" and not column.unit]
    return [
        *(["description of the dataset"] if not contract.description else []),
        *([f"description of {', '.join(bare)}"] if bare else []),
        *(["deletes: what is deleted at the source stays in the table"] if _keeps_deleted(contract) else []),
        *([f"unit of {', '.join(unitless)}"] if unitless else []),
    ]


def _keeps_deleted(contract: Contract) -> bool:
    """Whether deleted rows stay although nobody has said so; the other loads replace what is gone."""
    return contract.load == "watermark" and "deletes" not in contract.model_fields_set
