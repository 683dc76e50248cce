"""Settings for the whole suite."""

import torch

# the tests run side by side; every parallel region of torch would wait for a core that another test holds
torch.set_num_threads(1)
