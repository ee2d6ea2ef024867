"""Changes under each claim, each of which a claim that looks at something must notice."""
