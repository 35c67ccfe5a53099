#!/usr/bin/env python3
"""Rebuilds schemas of the AWS provider from the published bindings for CDK Terrain.

The bindings are TypeScript made from the provider's schemas. Their source maps hold that source, in which a comment says of
each attribute whether it is computed, optional or required, and the lines behind it say of what type it is.

    schemas.py WHEEL TYPES...   writes JSON for the stub provider; a type is aws_x for a resource, data.aws_x for a data source
"""

import base64
import io
import json
import re
import sys
import tarfile
import zipfile

ATTRIBUTE = re.compile(r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=\n  // |\n  }\n\n|\Z)", re.S)
CLASS = re.compile(r"^(?:export )?class (\w+) extends cdktn\.\w+ \{\n(.*?)^\}", re.S | re.M)
NESTED = re.compile(r"new (?:\w+\.)*(\w+?)(OutputReference|List|Map)\(this, \"\w+\"(?:, (true|false))?\)")
MAPS = {"String", "Number", "Boolean"}
SCALARS = [("getStringAttribute", "string"), ("getNumberAttribute", "number"), ("getBooleanAttribute", "bool")]


def sources(wheel, types):
    """The source of each wanted type."""
    wanted = {file_name(of_type): of_type for of_type in types}
    with zipfile.ZipFile(wheel) as archive:
        bundle = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(bundle)), mode="r:gz") as files:
            for member in files:
                of_type = wanted.pop(member.name.rsplit("/", 1)[-1], None)
                if of_type:
                    yield of_type, original(files.extractfile(member).read().decode())
                if not wanted:
                    return
    sys.exit(f"the bindings have no {', '.join(sorted(wanted.values()))}")


def file_name(of_type):
    is_data, _, name = of_type.rpartition(".")
    return ("data-" if is_data else "") + name.replace("_", "-") + ".js"


def original(javascript):
    source_map = re.search(r"sourceMappingURL=data:application/json;(?:charset=utf-8;)?base64,(\S+)", javascript)
    return json.loads(base64.b64decode(source_map.group(1)))["sourcesContent"][0]


def schema(source):
    """The block that the source's own class describes."""
    classes = dict(CLASS.findall(source))
    main = next(body for body in classes.values() if "tfResourceType" in body)
    return block(main, classes)


def block(body, classes):
    attributes, blocks = {}, {}
    for name, computed, optional, required, code in ATTRIBUTE.findall(body):
        flags = {"computed": computed == "true", "optional": optional == "true", "required": required == "true"}
        nested = NESTED.search(code)
        if nested and nested.group(1) not in MAPS:
            inner = block(classes[nested.group(1) + "OutputReference"], classes)
            if flags["computed"]:  # only attributes can be, so this one is a list of objects
                attributes[name] = flags | {"type": [nesting(nested)[0], object_type(inner)]}
            else:
                kind, most = nesting(nested)
                if name == "timeouts":
                    kind, most = "single", 0
                blocks[name] = {"nesting": kind, "min": int(flags["required"]), "max": most, "block": inner}
        else:
            attributes[name] = flags | {"type": simple_type(name, code)}
    return {"attributes": attributes, "blocks": blocks}


def nesting(nested):
    if nested.group(2) == "OutputReference":
        return "list", 1
    return ("set" if nested.group(3) == "true" else "list"), 0


def object_type(inner):
    members = {name: attribute["type"] for name, attribute in inner["attributes"].items()}
    members |= {name: [nested["nesting"], object_type(nested["block"])] for name, nested in inner["blocks"].items()}
    return ["object", members]


def simple_type(name, code):
    for getter, of_type in SCALARS:
        if getter in code:
            return of_type
    for kind, of_type in [("String", "string"), ("Number", "number"), ("Boolean", "bool")]:
        if f"get{kind}MapAttribute" in code or f"cdktn.{kind}Map(" in code:
            return ["map", of_type]
    if "getListAttribute" in code or "getNumberListAttribute" in code:
        element = "number" if "getNumberListAttribute" in code else "string"
        return ["set" if "Fn.tolist" in code else "list", element]
    sys.exit(f"no type was found for the attribute {name}:\n{code}")


def main():
    wheel, types = sys.argv[1], sys.argv[2:]
    found = {of_type: schema(source) for of_type, source in sources(wheel, types)}
    json.dump(
        {
            "resources": {name: block for name, block in found.items() if not name.startswith("data.")},
            "data_sources": {name[5:]: block for name, block in found.items() if name.startswith("data.")},
        },
        sys.stdout,
        sort_keys=True,
    )


main()
