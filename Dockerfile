# The environment of requirements.lock and the suite as a package; data and reports lie in the working folder.
#     docker build -t kdlib . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/work kdlib kdlib reports demo
FROM python:3.12-slim

# first, for it takes gigabytes and changes seldom
COPY requirements.lock /tmp/
RUN pip install --no-cache-dir -r /tmp/requirements.lock

COPY . /tmp/kdlib
RUN pip install --no-cache-dir --no-deps /tmp/kdlib

# what Jupyter and matplotlib keep for a user, whoever that is
ENV HOME=/home/kdlib
RUN useradd --uid 1000 --create-home kdlib && chmod 777 /home/kdlib && mkdir -m 777 /work
USER 1000
WORKDIR /work
CMD ["kdlib"]
