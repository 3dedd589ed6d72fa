"""Files that are written whole or not at all, and read within bounds."""

from fedsim.files.reading import parsed_json, read_bytes, read_json, read_text
from fedsim.files.writing import (
    LONGEST_NAME,
    OWNER_ONLY_FILE,
    OWNER_ONLY_FOLDER,
    UNFINISHED,
    make_private_folder,
    remove_unfinished,
    replacing,
    share,
    sync_folder,
    usable_path,
    write_bytes,
    write_json,
    write_text,
)

__all__ = [
    "LONGEST_NAME",
    "OWNER_ONLY_FILE",
    "OWNER_ONLY_FOLDER",
    "UNFINISHED",
    "make_private_folder",
    "parsed_json",
    "read_bytes",
    "read_json",
    "read_text",
    "remove_unfinished",
    "replacing",
    "share",
    "sync_folder",
    "usable_path",
    "write_bytes",
    "write_json",
    "write_text",
]
