"""Change every single byte of every event and evidence file of a small ledger, and drop every tail: all must be found.

python benchmarks/ledger_tampering.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from tests.ledger.world import CHO, DAN, approved, new_ledger, ready

from gigaforge.ledger import Ledger, actions, verify
from gigaforge.ledger.storage import events, evidence


def sound(ledger: Ledger) -> bool:
    return verify(ledger.engine).sound


def main() -> None:
    changed = missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = new_ledger(str(folder / "ledger.db"), folder)
        photo = ledger.put_evidence(bytes(range(256)), "photo.jpg", "image/jpeg")
        data = {"racks": ["P1"], "system": "rack", "site": "abilene"}
        ledger.append(actions.draft("delivery", CHO, data, evidence=(photo,)))
        ready(ledger)
        ledger.append(actions.release(ledger, DAN, approved(ledger).seq, "wire"))
        assert sound(ledger)
        with ledger.engine.connect() as connection:
            rows = connection.execute(sa.select(events.c.seq, events.c.body)).all()
            files = connection.execute(sa.select(evidence)).all()
        cells = [(events, events.c.seq == r.seq, "body", bytes(r.body)) for r in rows]
        cells += [(evidence, evidence.c.sha256 == f.sha256, "content", bytes(f.content)) for f in files]
        for table, where, column, content in cells:
            for position in range(len(content)):
                wrong = bytearray(content)
                wrong[position] ^= 1 + position % 255
                _write(ledger, table, where, column, bytes(wrong))
                changed += 1
                missed += sound(ledger)
            _write(ledger, table, where, column, content)
        assert sound(ledger)
        tails = tails_missed = 0
        for last in range(len(rows) - 1, 0, -1):
            with ledger.engine.begin() as connection:
                connection.execute(sa.delete(events).where(events.c.seq > last))
            tails += 1
            tails_missed += sound(ledger)
        ledger.close()
    print(f"{changed:,} changed bytes, {missed} not found; {tails} dropped tails, {tails_missed} not found")
    if missed or tails_missed:
        sys.exit(1)


def _write(ledger: Ledger, table: sa.Table, where: sa.ColumnElement, column: str, content: bytes) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(table).where(where).values({column: content}))


if __name__ == "__main__":
    main()
