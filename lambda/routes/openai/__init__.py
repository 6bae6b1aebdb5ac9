"""The Images API of OpenAI: generations, edits and models.

Source: the types and the behaviour of the clients openai-python 3.54 and openai-node 7.57.
"""
