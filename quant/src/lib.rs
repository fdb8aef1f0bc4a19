//! Part II: integers that infer.
