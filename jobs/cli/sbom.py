"""`meridian sbom`: what a release is made of, from the two lock files, as CycloneDX 1.6 JSON.

Nothing is looked up: names, versions and digests are those that `scripts/bootstrap` insists on.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jobs import __version__
from jobs.cli.console import success
from jobs.cli.jars import LockedJar, read_lock
from jobs.cli.project import PROJECT_ROOT

if TYPE_CHECKING:
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component

REQUIREMENTS: Final = PROJECT_ROOT / "requirements.lock"
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s\\;]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMESPACE = uuid.UUID("6f0c2f0e-5d0c-4f43-9a53-0f5c5f5c1c5e")


@click.command(epilog="\b\nExamples:\n  meridian sbom > meridian.cdx.json\n  meridian sbom -o meridian.cdx.json")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File.  [default: stdout]")
def sbom(output: Path | None) -> None:
    """Print the software bill of materials: every pinned package and jar with its digests (CycloneDX JSON)."""
    text = bill_of_materials(REQUIREMENTS.read_text(encoding="utf-8"), read_lock())
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
        success(f"written to {output}")


def pins(requirements: str) -> Iterator[tuple[str, str, list[str]]]:
    """Name, version and SHA-256 digests of each package of a lock file."""
    for block in re.split(r"\n(?=\S)", requirements):
        if pin := _PIN.match(block):
            yield pin[1], pin[2], _HASH.findall(block)


def bill_of_materials(requirements: str, jars: Iterable[LockedJar]) -> str:
    """CycloneDX JSON; the same locks give the same serial number."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    jars = list(jars)
    root = Component(
        name="meridian", version=__version__, type=ComponentType.APPLICATION, bom_ref="meridian",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )  # fmt: skip
    parts = [*(_package(*pin) for pin in pins(requirements)), *map(_jar, jars)]
    content = requirements + "".join(f"{jar.coordinate} {jar.sha256}" for jar in jars)
    bom = Bom(components=parts, serial_number=uuid.uuid5(_NAMESPACE, content))
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2))


def _package(name: str, version: str, digests: list[str]) -> Component:
    """A package has a digest for each file that the lock allows, one of which is installed."""
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", None, name.lower().replace("_", "-"), version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(purl)), hashes=[_sha256(d) for d in digests]
    )
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl),
        external_references=[files],
    )  # fmt: skip


def _jar(jar: LockedJar) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    group, name, version, *classifier = jar.coordinate.split(":")
    qualifiers = {"type": "jar", **({"classifier": classifier[0]} if classifier else {})}
    purl = PackageURL("maven", group, name, version, qualifiers)
    return Component(
        name=name, group=group, version=version, type=ComponentType.LIBRARY, purl=purl,
        bom_ref=f"{jar.set_name}:{purl}", hashes=[_sha256(jar.sha256)],
    )  # fmt: skip


def _sha256(digest: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
