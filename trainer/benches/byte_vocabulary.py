"""Behind export.sh and import.sh: a vocabulary that falls back to bytes, as mT5's does, made of one that does not.

Usage: python3 byte_vocabulary.py FROM TO, both SentencePiece models
"""

import sys

from sentencepiece import sentencepiece_model_pb2


def main(source, target):
    model = sentencepiece_model_pb2.ModelProto()
    with open(source, "rb") as file:
        model.ParseFromString(file.read())
    pieces = list(model.pieces)
    del model.pieces[:]
    # As in mT5's, behind <pad>, </s> and <unk>.
    model.pieces.extend(pieces[:3])
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=model.SentencePiece.BYTE)
    model.pieces.extend(pieces[3:])
    model.trainer_spec.byte_fallback = True
    with open(target, "wb") as file:
        file.write(model.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
