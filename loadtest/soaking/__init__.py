"""Parts of `loadtest/soak`: the service, what happens to it, what came of it."""
