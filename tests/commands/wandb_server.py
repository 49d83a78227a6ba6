"""A local server that answers the requests of the locked release of wandb, as W&B's does."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """A local server with runs and one artifact.

    Attributes:
        runs: the runs of each project ``ENTITY/PROJECT``, as nodes of the API.
        entries: the entries of the artifact's manifest.
        files: the content of the artifact's files by the hexadecimal MD5.
        views: the workspaces that have been saved.
        asked: the variables of all requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.runs: list[dict[str, Any]] = []
        self.entries: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.views: list[dict[str, Any]] = []
        self.asked: list[Mapping[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data that a request of GraphQL asks for."""
        self.asked.append(variables)
        if "UpsertView2" in query:
            self.views.append({**variables, "spec": json.loads(variables["spec"])})
            return {"upsertView": {"view": {"id": "x", "name": variables["name"]}, "inserted": True}}
        if "query Runs(" in query:
            edges = [{"node": run, "cursor": "c"} for run in self.runs]
            page = {"endCursor": "c", "hasNextPage": False}
            found = {"internalId": "1", "runCount": len(edges), "readOnly": False}
            return {"project": {**found, "runs": {"edges": edges, "pageInfo": page}}}
        if "ArtifactMembershipByName" in query:
            known = variables["name"] == "checkpoint-abc:best"
            return {"project": {"artifactCollectionMembership": self._membership() if known else None}}
        if "FetchArtifactManifest" in query:
            return {"artifact": {"currentManifest": {"file": {"directUrl": f"{self.url}/manifest"}}}}
        viewer = {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "9.9.9"}}}

    def _membership(self) -> dict[str, Any]:
        project = {"id": "p", "internalId": "1", "name": "some", "entity": {"name": "me"}}
        collection = {"__typename": "ArtifactSequence", "name": "checkpoint-abc", "project": project}
        artifact = {
            "__typename": "Artifact",
            "id": "QXJ0aWZhY3Q6MQ==",
            "artifactSequence": collection,
            "versionIndex": 0,
            "artifactType": {"name": "checkpoint"},
            "description": None,
            "metadata": "{}",
            "ttlDurationSeconds": -1,
            "ttlIsInherited": False,
            "tags": [],
            "historyStep": 0,
            "state": "COMMITTED",
            "size": 1,
            "digest": hashlib.md5(json.dumps(self.entries).encode()).hexdigest(),
            "commitHash": "c",
            "fileCount": len(self.entries),
            "createdAt": "2026-01-01T00:00:00",
            "updatedAt": None,
        }
        common = {"__typename": "ArtifactCollectionMembership", "id": "m", "versionIndex": 0, "aliases": []}
        return {**common, "createdAt": "2026-01-01T00:00:00", "artifactCollection": collection, "artifact": artifact}

    def store(self, name: str, content: bytes, **more: Any) -> None:
        """Add a file to the artifact."""
        digest = hashlib.md5(content)
        self.files[digest.hexdigest()] = content
        encoded = base64.b64encode(digest.digest()).decode()
        self.entries[name] = {"digest": encoded, "size": len(content), "birthArtifactID": "QXJ0aWZhY3Q6MQ==", **more}

    @property
    def manifest(self) -> bytes:
        policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"}}
        return json.dumps({"version": 1, **policy, "contents": self.entries}).encode()


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = json.loads(body) if self.path.endswith("/graphql") else {}
        self._send(
            json.dumps({"data": self.server.answer(asked.get("query", ""), asked.get("variables") or {})}).encode()
        )

    def do_GET(self) -> None:
        parts = self.path.split("/")
        digest = next((part for part in parts if part in self.server.files), None)
        if digest is None and parts[-1] != "manifest":
            self.send_error(404)
            return
        self._send(self.server.manifest if digest is None else self.server.files[digest])

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Do not log requests."""
