"""What runs while a stack is deployed: `handlers/` is shipped as it stands, without anything else of stacks/."""
