"""What the server answers: ``nbtoolkit/runs`` and ``nbtoolkit/companions``."""

import asyncio
import json
from pathlib import Path
from typing import Any, ClassVar

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from nbtoolkit.lab.companions import companions, title
from nbtoolkit.lab.live import announced
from nbtoolkit.lab.stored import Shelf

GOING_ON = ("watching", "paused", "following", "lost")


class Runs(APIHandler):
    """``GET nbtoolkit/runs``: ``{"live": [...], "stored": [...], "complete": bool}``."""

    auth_resource = "contents"
    shelves: ClassVar[dict[str, Shelf]] = {}

    @authenticated
    @authorized
    async def get(self) -> None:
        """The runs of all kernels of this server, and those stored in its folders."""
        live = await self._live()
        root = getattr(self.contents_manager, "root_dir", "")  # contents may be no files
        shelf = self.shelves.setdefault(root, Shelf(Path(root)))
        found, complete = await asyncio.to_thread(shelf.runs) if root else ([], True)
        written = {run["store"] for run in live if run["state"] in GOING_ON}
        for run in live:
            del run["store"]
        kept = [run for run in found if str(Path(root).resolve() / run["path"]) not in written]
        await self.finish(json.dumps({"live": live, "stored": kept, "complete": complete}))

    async def _live(self) -> list[dict[str, Any]]:
        sessions = await ensure_async(self.session_manager.list_sessions())
        notebooks = {
            session["kernel"]["id"]: session["path"]
            for session in sessions
            if session.get("kernel") and session.get("type") == "notebook"
        }
        live = []
        for kernel in self.kernel_manager.list_kernel_ids():
            try:
                connection_file = self.kernel_manager.get_kernel(kernel).connection_file
            except (AttributeError, KeyError):  # a kernel elsewhere, or one that has just gone
                continue
            runs = announced(connection_file) if connection_file else []
            live += [{**run, "kernel": kernel, "notebook": notebooks.get(kernel, "")} for run in runs]
        return live


class Companions(APIHandler):
    """``GET nbtoolkit/companions`` lists the notebooks; ``POST`` with ``{"name", "folder"}`` copies one."""

    auth_resource = "contents"

    @authenticated
    @authorized
    async def get(self) -> None:
        """Name and title of each."""
        listed = [{"name": name, "title": title(content) or name} for name, content in companions().items()]
        await self.finish(json.dumps(listed))

    @authenticated
    @authorized
    async def post(self) -> None:
        """Copy one into a folder under a name that is free; answers its path."""
        asked = self.get_json_body() or {}
        if not isinstance(asked, dict):
            raise HTTPError(400, log_message=f'got a {type(asked).__name__}; expected {{"name": ..., "folder": ...}}')
        name, folder = asked.get("name"), asked.get("folder", "")
        known = companions()
        if not isinstance(name, str) or name not in known:
            raise HTTPError(
                400, log_message=f"no companion {str(name)[:100]!r}; there are: {', '.join(known) or 'none'}"
            )
        manager = self.contents_manager
        if not isinstance(folder, str) or not await ensure_async(manager.dir_exists(folder)):
            raise HTTPError(
                404, log_message=f"no folder {str(folder)[:100]!r} on this server; choose one that is there"
            )
        free = await ensure_async(manager.increment_filename(name, folder, insert="-"))
        path = f"{folder}/{free}".strip("/")
        await ensure_async(manager.save({"type": "notebook", "format": "json", "content": known[name]}, path))
        self.set_status(201)
        await self.finish(json.dumps({"path": path}))


def routes(base_url: str) -> list[tuple[str, type[APIHandler]]]:
    """The handlers by their addresses."""
    return [
        (url_path_join(base_url, "nbtoolkit", "runs"), Runs),
        (url_path_join(base_url, "nbtoolkit", "companions"), Companions),
    ]
