"""Files of runs and of images: how they are named and written, and the places they are kept in."""

from shoal_server.adapters.files.folder import Folder
from shoal_server.adapters.files.image_files import PART, NamedImageFiles
from shoal_server.adapters.files.object_storage import ObjectStorage
from shoal_server.adapters.files.place import Place
from shoal_server.adapters.files.run_files import ParquetRunFiles

__all__ = ["Folder", "NamedImageFiles", "ObjectStorage", "PART", "ParquetRunFiles", "Place"]
