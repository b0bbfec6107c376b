"""Releases: upload a bundle, sign it with the server's key, publish it, revoke it.

    draft -> signed -> published -> revoked

A bundle carries its manifest and the release key's signature in its first bytes (ks_agent.bundle);
nothing after them is read unless that signature is good.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import ClientDisconnect

from ks_agent import signing

from ..bundles import BadBundle, BundleUpload, bundle_path, file_digest
from ..context import Context
from ..db.schema import releases
from ..keys import public_keys
from ..repository import rollouts
from .common import Page, Paging, Server, fetch_one, fetch_page, found, record, time_text
from .errors import ApiError

router = APIRouter(tags=["releases"])

State = Literal["draft", "signed", "published", "revoked"]
ReleaseId = Annotated[str, Path(alias="fw1", pattern=r"^[A-Za-z0-9._-]{1,64}$")]

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ReleaseView(BaseModel):
    """A release. `types` are the D2 that it is for; `manifest_signature` is the release key's.

    `kind` is application, image or opaque; `image` is what an image is, `image_min` and
    `image_max` what an application runs on. None: the manifest does not say.
    """

    fw1: str
    fw2: str
    fw4: str
    fw5: int
    types: list[str]
    counter: int
    state: State
    built: str | None
    expires: str | None
    created: str | None
    published: str | None
    revoked: str | None
    manifest_signature: str | None
    kind: str
    boards: list[str] | None
    image: str | None
    image_min: str | None
    image_max: str | None
    stage0: int | None


class SignedRelease(ReleaseView):
    """The same with the signature that the server's current key gives it."""

    fw_sig: str
    kid: str


def _fields(row: Row[Any]) -> dict[str, Any]:
    return {
        "fw1": row.fw1,
        "fw2": row.fw2,
        "fw4": row.fw4,
        "fw5": row.fw5,
        "types": row.types.split(","),
        "counter": row.counter,
        "state": row.state,
        "built": time_text(row.built_ms),
        "expires": time_text(row.expires_ms),
        "created": time_text(row.created_ms),
        "published": time_text(row.published_ms),
        "revoked": time_text(row.revoked_ms),
        "manifest_signature": row.manifest_signature,
        "kind": row.kind,
        "boards": row.board.split(",") if row.board else None,
        "image": row.image,
        "image_min": row.image_min,
        "image_max": row.image_max,
        "stage0": int(row.stage0) if row.stage0 else None,
    }


def _view(row: Row[Any]) -> ReleaseView:
    return ReleaseView(**_fields(row))


@router.post("/releases", status_code=201, openapi_extra=_BODY)
async def upload_release(server: Server, request: Request) -> ReleaseView:
    """Upload a bundle as the request's body. Refused unless a key of RELEASE_PUBLIC_KEYS signed
    its manifest and every file is what the manifest says."""
    keys = public_keys("RELEASE_PUBLIC_KEYS", server.settings.release_public_keys)
    upload = BundleUpload(server.settings, server.crypto, keys)
    try:
        async for piece in request.stream():
            if piece:
                await asyncio.to_thread(upload.write, piece)
        release = await asyncio.to_thread(upload.finish)
        if release.expires_ms <= server.now_ms():
            raise BadBundle("EXPIRED", "the manifest has expired")
        return await _store(server, upload)
    except BadBundle as error:
        raise ApiError(error.code, str(error)) from None
    except ClientDisconnect:
        raise ApiError("INVALID", "the upload broke off") from None
    finally:
        await asyncio.to_thread(upload.discard)


async def _store(server: Context, upload: BundleUpload) -> ReleaseView:
    release = upload.release
    values = {
        **release.columns(),
        "path": str(bundle_path(server.settings, release.fw1).relative_to(server.settings.data)),
        "state": "draft",
        "created_ms": server.now_ms(),
    }

    async def work(connection: AsyncConnection) -> ReleaseView:
        try:
            await connection.execute(insert(releases).values(**values))
        except IntegrityError:
            raise ApiError("ALREADY_EXISTS", "there is a release of this id") from None
        await record(connection, server, "release", release.fw1, {"fw4": release.fw4})
        view = _view(await _read(connection, release.fw1))
        # inside the transaction: a row without its file never exists
        await asyncio.to_thread(upload.keep)
        return view

    return await server.writer.run(work)


@router.get("/releases")
async def list_releases(
    server: Server, paging: Paging, state: Annotated[State | None, Query()] = None
) -> Page[ReleaseView]:
    """Releases, the newest first."""
    query = select(releases)
    if state is not None:
        query = query.where(releases.c.state == state)
    order = (releases.c.created_ms, releases.c.fw1)
    return await fetch_page(server, query, order, paging, _view, newest_first=True)


@router.get("/releases/{fw1}")
async def show_release(server: Server, fw1: ReleaseId) -> ReleaseView:
    """One release."""
    query = select(releases).where(releases.c.fw1 == fw1)
    return _view(await fetch_one(server, query, "release"))


@router.post("/releases/{fw1}/sign")
async def sign_release(server: Server, fw1: ReleaseId) -> SignedRelease:
    """Sign FW1 FW2 FW4 FW5 with the server's current key, after the stored bundle has been read
    again and is still the uploaded one. Devices get FW_SIG by the key of their answer."""
    stored = await fetch_one(server, select(releases).where(releases.c.fw1 == fw1), "release")
    path = bundle_path(server.settings, fw1)
    if await asyncio.to_thread(file_digest, path) != (stored.fw4, stored.fw5):
        raise ApiError("WRONG_STATE", "the stored bundle is not the one that was uploaded")
    key = server.keys.current
    message = {"FW1": fw1, "FW2": stored.fw2, "FW4": stored.fw4, "FW5": str(stored.fw5)}
    message["FW_SIG"] = signing.sign_release(server.crypto, key.seed, message)
    signing.verify_release(server.crypto, key.public, message)
    row = await _change(server, fw1, ("draft", "signed"), "signed")
    return SignedRelease(**_fields(row), fw_sig=message["FW_SIG"], kid=key.kid)


@router.post("/releases/{fw1}/publish")
async def publish_release(server: Server, fw1: ReleaseId) -> ReleaseView:
    """Offer a signed release to the devices of its types."""
    stored = await fetch_one(server, select(releases).where(releases.c.fw1 == fw1), "release")
    now_ms = server.now_ms()
    if stored.expires_ms <= now_ms:
        raise ApiError("EXPIRED", "the release has expired")
    states = ("signed", "published")
    published_ms = stored.published_ms or now_ms
    return _view(await _change(server, fw1, states, "published", published_ms=published_ms))


@router.post("/releases/{fw1}/revoke")
async def revoke_release(server: Server, fw1: ReleaseId) -> ReleaseView:
    """Offer it to nobody any more, by no rollout either, and tell the devices that wait for it to
    halt. There is no way back; upload it under another id."""

    async def work(connection: AsyncConnection) -> Row[Any]:
        _check_state(await _read(connection, fw1), ("draft", "signed", "published"))
        now_ms = server.now_ms()
        await rollouts.revoke_release(connection, server.update_commands, fw1, now_ms)
        await record(connection, server, "release-revoked", fw1)
        return await _read(connection, fw1)

    return _view(await server.writer.run(work))


async def _change(
    server: Context, fw1: str, states: tuple[str, ...], state: str, **values: int
) -> Row[Any]:
    async def work(connection: AsyncConnection) -> Row[Any]:
        result = await connection.execute(
            update(releases)
            .where(releases.c.fw1 == fw1, releases.c.state.in_(states))
            .values(state=state, **values)
        )
        row = await _read(connection, fw1)
        if result.rowcount == 0:
            _check_state(row, states)
        await record(connection, server, f"release-{state}", fw1)
        return row

    return await server.writer.run(work)


def _check_state(row: Row[Any], states: tuple[str, ...]) -> None:
    if row.state not in states:
        raise ApiError("WRONG_STATE", f"the release is {row.state}, not {' or '.join(states)}")


async def _read(connection: AsyncConnection, fw1: str) -> Row[Any]:
    row = (await connection.execute(select(releases).where(releases.c.fw1 == fw1))).first()
    return found(row, "release")
