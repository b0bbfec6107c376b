"""The part of the admin API about punches and the people behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from .admin import PAGE_MAX, PREFIX, TIMEOUT_S, AdminApi, refusal

# for what goes over many rows
LONG_S = 300.0


class PunchApi(AdminApi):
    """Calls as methods; answers are JSON objects. Raises AdminError."""

    async def punches(self, limit: int = 0, **query: str) -> list[dict[str, Any]]:
        """Punches by time, at most `limit` (0: all of them). `query` as in GET /punches."""
        items: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            size = min(PAGE_MAX, limit - len(items)) if limit else PAGE_MAX
            position = {"after": after} if after else {}
            parameters = {**query, "limit": str(size), **position}
            answer = await self._json("GET", "/punches", params=parameters)
            items += answer["items"]
            after = answer["next"]
            if after is None or (limit and len(items) >= limit):
                return items

    async def export(self, path: Path, kind: str, **query: str) -> int:
        """Write an export to a file, which is there whole or not at all; gives its size in
        bytes. Raises OSError for the file."""
        part = path.with_name(path.name + ".part")
        parameters = {**query, "format": kind}
        # a workbook is made before its first byte is sent
        timeout = httpx.Timeout(TIMEOUT_S, read=None)
        url = PREFIX + "/punches/export"
        try:
            with self._link(), part.open("wb") as file:
                request = self._client.stream("GET", url, params=parameters, timeout=timeout)
                async with request as answer:
                    if not answer.is_success:
                        await answer.aread()
                        raise refusal(answer)
                    async for chunk in answer.aiter_bytes():
                        file.write(chunk)
            size = part.stat().st_size
            part.replace(path)
            return size
        finally:
            part.unlink(missing_ok=True)

    async def journals(self, d1: str) -> list[dict[str, Any]]:
        """The reconciliation of each of the device's journals."""
        return await self._all(f"/devices/{d1}/journals")

    async def findings(self, **query: str) -> list[dict[str, Any]]:
        return await self._all("/findings", **query)

    async def acknowledge(self, finding: int) -> dict[str, Any]:
        return await self._json("POST", f"/findings/{finding}/acknowledge")

    async def receipt(self, d1: str, jid: str, first_seq: int, last_seq: int) -> bytes:
        """The signed document for a range of punches."""
        form = {"d1": d1, "jid": jid, "first_seq": first_seq, "last_seq": last_seq}
        answer = await self._ask("POST", "/receipts", json=form, timeout=LONG_S)
        if not answer.is_success:
            raise refusal(answer)
        return answer.content

    async def import_employees(
        self, data: bytes, *, dry_run: bool = False, skip_errors: bool = False
    ) -> dict[str, Any]:
        """What a CSV file did or, with `stored` false, would have done, with its errors."""
        answer = await self._ask(
            "POST",
            "/employees/import",
            content=data,
            headers={"Content-Type": "text/csv"},
            params={"dry_run": dry_run, "skip_errors": skip_errors},
            timeout=LONG_S,
        )
        if answer.is_success:
            return dict(answer.json())
        error = refusal(answer)
        if error.code == "IMPORT_REFUSED":
            return dict(answer.json())
        raise error

    async def add_employee(
        self, external_id: str, name: str, cards: Sequence[str] = (), **fields: Any
    ) -> dict[str, Any]:
        form = {"external_id": external_id, "name": name, "cards": list(cards), **fields}
        return await self._json("POST", "/employees", form)

    async def employees(self, **query: str) -> list[dict[str, Any]]:
        return await self._all("/employees", **query)

    async def credentials(self, **query: str) -> list[dict[str, Any]]:
        return await self._all("/credentials", **query)

    async def erase_employee(self, employee_id: int) -> dict[str, Any]:
        return await self._json("POST", f"/employees/{employee_id}/erase", timeout=LONG_S)

    async def erase_punches(self, texts: Sequence[str]) -> dict[str, Any]:
        """Erase E1 of these texts where no employee is known for it."""
        return await self._json("POST", "/punches/erase", {"e1": list(texts)}, timeout=LONG_S)

    async def sites(self) -> list[dict[str, Any]]:
        return await self._all("/sites")

    async def put_site(self, site: str, form: Mapping[str, Any]) -> dict[str, Any]:
        return await self._json("PUT", f"/sites/{site}", form)

    async def put_device_site(self, d1: str, site: str | None) -> dict[str, Any]:
        return await self._json("PUT", f"/devices/{d1}/site", {"site": site})
