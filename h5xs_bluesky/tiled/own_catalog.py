"""The catalogue of a server in this process, into which many samples are put at once.

A request for each sample costs the server some 40 ms; a folder with thousands of samples would
take minutes to appear.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import Session
from tiled.catalog import orm
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Management

from h5xs_bluesky.tiled.adapter import MIMETYPE, SAMPLE_SPEC
from h5xs_bluesky.tiled.files import file_uri

_LOCKED_S = 30  # waited for the server's own writing


class OwnCatalog:
    """A catalogue in a SQLite file; its server may be running.

    Subscribers are not told of what is put into it: it is for what was there before they came.

    Parameters
    ----------
    path
        The file, with its tables.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            f"sqlite:///{path.resolve()}", connect_args={"timeout": _LOCKED_S}
        )
        event.listen(self._engine, "connect", _check_keys)

    def add(
        self, parent: Sequence[str], path: Path, summaries: Mapping[str, dict[str, Any]]
    ) -> None:
        """Add samples of a file to a container that is there, all of them or none.

        Parameters
        ----------
        parent
            The names that lead to the container.
        path
            The file.
        summaries
            By the names of the samples, what is told of each.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If they cannot be added: one is there already, or the file is in use for too long.
        RefusedError
            If Tiled would read another path; see `file_uri`.
        """
        uri = file_uri(path)
        with Session(self._engine) as session, session.begin():
            container = _find(session, parent)
            asset = session.scalar(select(orm.Asset).where(orm.Asset.data_uri == uri))
            if asset is None:
                asset = orm.Asset(data_uri=uri, is_directory=False)
                session.add(asset)
                session.flush()
            nodes = [_node(container, sample, found) for sample, found in summaries.items()]
            session.add_all(nodes)
            session.flush()
            session.add_all(
                orm.DataSourceAssetAssociation(
                    data_source_id=node.data_sources[0].id,
                    asset_id=asset.id,
                    parameter="data_uris",
                    num=0,
                )
                for node in nodes
            )

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()


def _check_keys(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _find(session: Session, parent: Sequence[str]) -> int:
    """Give the number of the container that names lead to."""
    number = session.scalars(select(orm.Node.id).where(orm.Node.parent.is_(None))).one()
    for key in parent:
        query = select(orm.Node.id).where(orm.Node.parent == number, orm.Node.key == key)
        number = session.scalars(query).one()
    return int(number)


def _node(container: int, sample: str, summary: dict[str, Any]) -> Any:
    """Make a sample's node, as a client's request would make it."""
    source = orm.DataSource(
        structure_family=StructureFamily.container,
        mimetype=MIMETYPE,
        management=Management.external,
        parameters={"sample": sample},
        properties={},
    )
    return orm.Node(
        parent=container,
        key=sample,
        structure_family=StructureFamily.container,
        metadata_=summary,
        specs=[{"name": SAMPLE_SPEC.name, "version": SAMPLE_SPEC.version}],
        data_sources=[source],
    )
