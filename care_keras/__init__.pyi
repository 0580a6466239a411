from . import layers as layers
from . import models as models
from .models import CARE_S0 as CARE_S0
from .models import CARE_S1 as CARE_S1
from .models import CARE_S2 as CARE_S2
from .models import CARE_XS as CARE_XS
from .models import CARE_Nano as CARE_Nano
from .models import CAREBackbone as CAREBackbone
from .models import CAREClassifier as CAREClassifier
from .models import RetinaNet as RetinaNet
from .models import SemanticFPN as SemanticFPN
from .models import decode_predictions as decode_predictions
from .models import load_preset as load_preset
from .models import preprocess_input as preprocess_input

__version__: str
