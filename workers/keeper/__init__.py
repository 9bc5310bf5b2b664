"""The VocabularyKeeper deployment: learns the words of all scopes."""
