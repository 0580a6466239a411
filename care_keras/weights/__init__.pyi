from .checkpoint import load_checkpoint as load_checkpoint
from .files import import_checkpoint as import_checkpoint
from .importer import import_weights as import_weights
from .names import Entry as Entry
from .names import checkpoint_entries as checkpoint_entries
from .summary import ImportSummary as ImportSummary
