//! Part III: data and networks.
