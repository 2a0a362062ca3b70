"""What FreeScale knows of a network: where its layers are (unet), and what one attention call says
(attention_call).

Another family of networks is another file here.
"""
