"""Commands for a deployed Easel: `easel doctor`, `outputs`, `leftovers`, `pause` and `resume`.

boto3 is imported only when a command runs. Of stacks/, only stacks/config is used, which needs no CDK.
"""

from easel import use_checkout

use_checkout()
